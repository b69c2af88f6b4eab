// Package admin is the control plane: an HTTP server on a listener of its
// own, with net/http and a mux of its own, so that it answers when the data
// plane drowns. All of it reads; nothing a request does changes anything.
//
//	GET /                what there is, as text
//	GET /healthz         200 while the process answers
//	GET /readyz          200, or 503 with the reasons, as JSON
//	GET /metrics         Prometheus' text format
//	GET /admin/backends  every backend and why it is in or out, as JSON;
//	                     ?service=NAME for one service
//	GET /admin/config    the effective settings, secrets masked, as JSON
//	GET /debug/pprof/    Go's profiles
//
// A request passes, in this order (guard.go):
//
//  1. the Host check: a server bound to loopback answers only to names of
//     loopback, or else a web page could reach it by DNS rebinding (421);
//  2. the origin check: what a browser sends on behalf of another site is
//     refused (403), except a link to the index;
//  3. the bearer token, if there is one (401);
//  4. the limit of requests at a time (503).
//
// /healthz and /readyz skip the last two, so that whoever probes needs no
// token and never meets the limit. [NewHealth] serves these two alone, without
// the Host check, for probes from elsewhere.
//
// Series of single backends are written at scrape time from the pools'
// snapshots, so none outlives its backend.
package admin
