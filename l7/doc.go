// Package l7 balances HTTP/1.x requests.
//
// A client's connection lives in the loop that accepted it (pkg/reactor), and
// so do the connections to backends that its requests use. Nothing here waits:
// each event moves what can be moved now. Locks are taken by what loops share
// only where it is used (a rate for each client, a breaker that changes), and for
// a moment.
//
// The walk of a request, one file a step:
//
//  1. accept (pkg/listen): limits, the PROXY header and the TLS handshake are
//     dealt with there; the connection arrives in the loop it will live in.
//  2. read (conn.go): a connection that waits for a request is a small struct
//     and holds no buffer; what has come of a head is kept until all of it is
//     there.
//  3. parse (package http1): the head is judged, strictly. What two programs
//     could read differently is refused with a 4xx or 505, the connection is
//     closed, and no backend hears of it.
//  4. judge (judge.go): the one form of the path (form.go); who asks, and
//     under which ID and trace (identify.go, origin.go, forwarded.go,
//     client.go, request_id.go, trace.go); the route by host, path, method and
//     headers (route.go, router.go), which may redirect (redirect.go) or refuse; the rate
//     of the client; the route's service or its canary (canary.go), whose
//     limits count (waits.go); who it is by its credentials, which are verified
//     elsewhere if that takes long (auth.go).
//     What comes of the body with the head is looked at first (receive.go).
//  5. forward (forward.go, upload.go): if the service has room for one more request
//     (policy.go), the client's cookie (sticky.go) or the strategy picks a
//     backend whose circuit breaker allows it, and takes its slot, for which it
//     may have to wait (queue.go). The rewritten head (request_head.go), as an operator has edited
//     it (edit.go, clientcert.go), goes out on an idle or a new connection
//     (upstream.go; reuse.go says who may use which, and for how long; idle.go
//     keeps them, and loops share few, share.go), and the body behind it. retry.go alone decides what may be tried again after a
//     failure, or when health finds down whoever is waited for (rescue.go). A copy
//     may go to a second service (mirror.go, mirror_send.go).
//  6. stream (stream.go): the response is passed on as it comes,
//     also while the request is still going up; what a side does not take yet
//     waits (backlog.go), for whoever keeps up a pace (pace.go). After a 101 that answers a request for it, bytes are
//     passed on both ways (tunnel.go). evict.go ends what is left of them when a
//     backend is taken out, linger.go takes what a client still sends.
//  7. record (record.go): the one place where counters move, exactly once per
//     request, with at most one [Reason] (reason.go). What the access log has by
//     choice is in note.go.
//
// exchange.go holds the state of one request and carries it from 3 to 7;
// shard.go is what a server has in one loop.
//
// # Invariants
//
//   - A truncated message never becomes a complete one. A response that breaks
//     off ends the client's connection before its own end, with a reset where
//     the end of the connection would be the end of the response; a request
//     that breaks off resets the backend's connection.
//   - What frames a message on one side is made anew for the other: chunks are
//     taken apart and put together again, lengths are written from the number
//     that was understood.
//   - Each direction of an exchange holds at most what one read has brought and
//     the other side does not take, in memory or, of a body that comes in bulk
//     and needs no framing, in a pipe; until that is gone nothing more is read.
//     Of a client that is ahead with its requests at most 16 KiB are kept.
//   - A connection to a backend is used again only if the message before ended
//     exactly where it said and nothing was left over. While it is idle its
//     handler drops it as soon as the backend closes it or says something, and
//     before a request that cannot be sent twice it is looked at once more.
//     After a response that had no body for what it was it rests for 50 ms.
//   - A connection on which somebody has authenticated (NTLM, Negotiate) serves
//     the client's connection that it was used on, and nobody else (bound.go).
//   - No byte of a response is followed by another attempt.
//   - Functions of an exchange that may end it say so by their result; the
//     exchange is somebody else's after that.
//
// # Choices
//
//   - Both Content-Length and Transfer-Encoding, or any Transfer-Encoding but
//     chunked: 400.
//   - Paths are routed in one form: unreserved bytes decoded, dot segments
//     resolved, empty ones left out. That is what is forwarded where a policy
//     hangs on the route; else paths go on as they came, but for dot segments. What
//     servers read differently, an encoded slash, a backslash, a semicolon, passes
//     if no reading of it is another route's. A path that leads above its root, has
//     a "%" that begins no encoding, an overlong one, or NUL: 400.
//   - X-Forwarded-*, Forwarded, X-Real-IP and X-Request-ID are believed from
//     trusted proxies only; from anybody else they are replaced or dropped, as
//     Envoy does at an edge. Names that differ from those, or from a hop-by-hop
//     header, by "_" for "-" are dropped.
//   - Trailers are passed on behind a chunked body, but for fields that frame,
//     route, authenticate or describe the message, other than by its digest; what
//     is dropped is not announced either. Chunk extensions are not passed on.
//   - Statuses from 600 are passed on, and are no failure of a backend.
//   - 1xx responses are passed on, up to 16 of them; but 100 Continue is
//     sluice's own, sent when the request was routed, and Expect is not passed
//     on.
//   - A request body with a length of up to 8 KiB is awaited before a backend
//     is picked: so slow a client costs no backend anything, and the request
//     can be sent again.
//   - An HTTP/1.0 client gets a response of unknown length until the end of its
//     connection.
//   - A reset by the client cancels its request at once. The end of its
//     direction alone may mean that it has said everything and listens; it is
//     taken for gone when it got no byte of a response for FINTimeout.
package l7
