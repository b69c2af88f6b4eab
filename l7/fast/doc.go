// Package fast is HTTP on fasthttp, over the gate and l7/plain.
//
// [NewServer] serves a listener: fasthttp.Server has the connections, its workers
// and its loop over requests; what it cannot do is done past it, on connections
// that are ours. The walk, one file a step:
//
//  1. server.go: the listener accepts and shakes hands (pkg/listen); every limit
//     of fasthttp is set. arrivals.go is the listener that fasthttp serves.
//  2. conn.go: a connection as fasthttp reads it: one whole head after the other,
//     each scanned before.
//  3. close.go: the handler, and what follows when fasthttp lets a connection go:
//     it is parked, served on, lingered for or closed.
//  4. body.go: bodies, read with our own codec, and the watch for a client that
//     goes away.
//  5. reply.go: the response, written past fasthttp, and tunnels.
//  6. park_*.go: a connection that waits for a request holds neither a goroutine
//     nor a buffer: on Linux a loop watches it.
//
// [New] gives a fasthttp.RequestHandler for anybody's own server (handler.go,
// guest.go): there fasthttp reads the bodies and writes the responses.
//
// # Invariants
//
//   - What is forwarded was judged by our own codec, from the bytes as they came.
//     That fasthttp takes a head for good or bad says nothing: one that is good to
//     us is served all the same.
//   - fasthttp sees no body and writes nothing to a client of [NewServer]. So none
//     of its ways with Expect, chunks, trailers, HTTP/1.0 or unread bodies matter.
//   - Deadlines are for what is waited for, not for whole messages.
//   - A panic ends its request, and nothing else.
package fast
