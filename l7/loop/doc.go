// Package loop serves HTTP/1.x in event loops (pkg/reactor): the driver of l7/gate
// that costs least.
//
// A client's connection lives in the loop that accepted it, and so do the
// connections to backends that its requests use. Nothing here waits: each event
// moves what can be moved now. What is decided about a request is its
// gate.Ticket's affair; here bytes move, and time passes. Locks are taken by what
// loops share only where it is used, and for a moment.
//
// # The walk
//
// One file a step; what a file calls is in it or in one below, but for the edges
// that are drawn further down:
//
//  1. server.go: a listener, and open.go for who asks what is open; members.go: the backends that its services have, with
//     evict.go and rescue.go for those that leave or fail.
//  2. conn.go: a connection that waits for a request is a small struct and holds
//     no buffer; what has come of a head is kept until all of it is there. move.go
//     gives it to a loop that is less busy. visit.go: one of HTTP/2 (l7/h2), each of
//     whose streams is such a connection; faults.go counts those that were ended for
//     what they did.
//  3. exchange.go: one request and its response begin, and the events of both
//     sides.
//  4. receive.go: the head is parsed (l7/http1) and judged (l7/gate), and what
//     comes of the body with it is looked at.
//  5. attempt.go: a backend is picked, and a connection to it taken; share.go: or
//     borrowed, where there may be few; connect.go: or made;
//     link.go: or shared, if it is one of HTTP/2.
//  6. upload.go: the request goes up; keep.go: and is kept for another attempt.
//  7. download.go: the response comes down as it comes, also while the request is
//     still going up; section.go is what HTTP/2 has beside messages of HTTP/1.1.
//  8. tunnel.go: after a 101, bytes go both ways (pkg/pump).
//  9. wait.go: who is waited for in each phase, and what it means if that takes too
//     long; pace.go: whether a client is fast enough.
//  10. retry.go: what follows an attempt that came to nothing.
//  11. end.go: answers of our own, and the end of an exchange; close.go: what becomes
//     of the client's connection then.
//
// Below them is what the steps do to something:
//
//   - client.go: bytes to a client, and its timer.
//   - idle.go: connections to backends that wait for a request; bound.go: those that
//     are one client's alone; upstream.go: their end.
//   - shard.go: what a server has in one loop.
//   - state.go: all that is kept, of a loop, a connection, an exchange and a
//     connection to a backend.
//
// # Phases
//
//	           +-> verifying --+
//	           |               v
//	conn --> receiving --------+--> queued <-+  (again) ----------------------+
//	  ^                        |      |      |                                |
//	  |                        |      v      |                                |
//	  |                        +-> connecting ------ connectFailed ---------->+
//	  |                        |      |                                       |
//	  |   (idle connection)    |      v                                       |
//	  |                        +-> sending --------- attemptFailed ---------->+
//	  |                               |                                       |
//	  |                               v                                       |
//	  |                            waiting --------- attemptFailed, rescue -->+
//	  |                               |
//	  |                               +-> tunnelling --> end
//	  |                               v
//	  +-------- finish --------- responding  (from sending as well: the body goes on)
//	  |
//	  +-------- finish --------- answering   (from any phase whose client can be
//	                                          answered: refused, failed, timed out)
//
// The edges on the right lead to another attempt: queued, connecting or sending.
// From any phase an exchange may end because its client is gone. An exchange
// changes its phase in verify and done, try, send and noteSent, respond,
// switchProtocols, answer and end alone. wait.go has a function for each phase.
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
//   - Functions of an exchange that may end it say so, by their result or in their
//     comment; the exchange is somebody else's after that.
package loop
