// Package admin is the control plane: an HTTP server on a listener of its
// own, with net/http and a mux of its own, so that it answers when the data
// plane drowns. Calls by GET change nothing.
//
// Handlers are thin: what runs is behind [Plane], what operators change behind
// control.Book. Each call is one entry of a table (questions.go, orders.go,
// seeds.go), of which the mux, the index at / and the OpenAPI document at
// /admin/openapi.json are made. Parameters come in the query, as a form or as a
// JSON object; one that nobody knows is an error. Errors are RFC 9457 problem
// details, lists are paged by offset and limit.
//
// An order is done in this walk: the parameters are read (params.go), the book
// judges and keeps what they ask for, the plane applies it, and if it cannot,
// the book takes it back (order.go).
//
// A request passes, in this order (guard.go):
//
//  1. the Host check: a server bound to loopback answers only to names of
//     loopback, or else a web page could reach it by DNS rebinding (421);
//  2. the origin check: what a browser sends on behalf of another site is
//     refused (403), except a link to the index;
//  3. the bearer token, if there is one (401, or 403 for one that only looks);
//  4. the limit of requests at a time (503).
//
// /healthz and /readyz skip the last two, so that whoever probes needs no
// token and never meets the limit. [NewHealth] serves these two alone, without
// the Host check, for probes from elsewhere.
//
// The copilot (copilot.go) is given facts and changes nothing: what it proposes are
// calls that an operator makes.
//
// Series of single backends are written at scrape time from the pools'
// snapshots, so none outlives its backend.
package admin
