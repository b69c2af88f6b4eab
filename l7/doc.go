// Package l7 balances HTTP/1.x requests.
//
// The walk of a request, one file a step:
//
//  1. accept (pkg/listen, conn.go): temporary errors and the connection cap
//     are dealt with there; fasthttp keeps the connection, reads heads and
//     undoes the framing of request bodies (server.go sets it up).
//  2. parse (parse.go, target.go): the head is judged again, more strictly.
//     What two programs could read differently is refused with a 4xx or 505,
//     the connection is closed, and no backend hears of it.
//  3. route (route.go): the exact host first, then any; the longest path wins.
//  4. pick and forward (forward.go): the strategy picks a backend and takes
//     its slot; headers are rewritten (headers.go); the request goes out on an
//     idle or a new connection (upstream.go). retry.go alone decides what may
//     be tried again after a failure.
//  5. stream (stream.go, body.go, upload.go): the response is passed on piece
//     by piece as it comes (response.go parses its head), while a large request
//     body may still be going up in a goroutine of its own. After a 101 that
//     answers a request for it, both connections are relayed (upgrade.go).
//  6. record (record.go): the one place where counters move, exactly once per
//     request, with at most one [Reason] (reason.go).
//
// exchange.go holds the state of one request and carries it from 2 to 6.
//
// # Invariants
//
//   - A truncated message never becomes a complete one. A response that breaks
//     off ends the client's connection before its own end, with a reset where
//     the end of the connection would be the end of the response; a request
//     that breaks off ends the backend's connection.
//   - fasthttp never writes to a client: a client's Write drops what it is
//     given, and exchanges write by client.send. So there is one place that
//     frames, flushes and gives up.
//   - Nothing is waited for while the client is owed something that has come.
//   - Bodies are never kept: of a request at most the 8 KiB that fasthttp reads
//     before it calls a handler, otherwise what fits the buffers.
//   - A connection to a backend is used again only if the message before ended
//     exactly where it said, nothing was left over and, at the time of use,
//     nothing has come and nobody closed it.
//   - No byte of a response is followed by another attempt.
//
// # Who owns what
//
// The goroutine that serves the client's connection owns the exchange, the
// backend's slot and its connection, and gives each back exactly once, in
// exchange.end or, after an attempt that failed, exchange.drop. An upload owns
// the reading half of the client's connection and the writing half of the
// backend's until exchange.end has waited for it, before fasthttp goes on to
// the next request.
//
// # Choices
//
//   - Both Content-Length and Transfer-Encoding, or any Transfer-Encoding but
//     chunked: 400.
//   - Dot segments in a path, however they are encoded: 400. Targets are
//     otherwise forwarded byte for byte, and routed on the same bytes.
//   - X-Forwarded-*, Forwarded, X-Real-IP and X-Request-ID are believed from
//     trusted proxies only; from anybody else they are replaced or dropped, as
//     Envoy does at an edge. Names that differ from those, or from a hop-by-hop
//     header, by "_" for "-" are dropped.
//   - Trailers, chunk extensions and interim responses other than the 101 of an
//     upgrade are not forwarded. 100 Continue is sluice's own.
//   - A small request body (up to 8 KiB, with a length) is awaited before a
//     backend is picked; so slow a client costs no backend anything.
//   - An HTTP/1.0 client gets a response of unknown length until the end of its
//     connection.
//   - A client that goes away is noticed when it is written to or read from,
//     not while a backend is still thinking.
package l7
