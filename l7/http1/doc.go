// Package http1 is the codec of HTTP/1.x (RFC 9112): bytes in, values out. It
// opens no socket, waits for nobody and decides nothing about services, so that
// every driver reads and writes the same HTTP.
//
// One file a step, in the order in which a request meets them:
//
//  1. fault.go: what can be wrong with a head; who answers makes a status of it.
//  2. token.go: what messages are made of.
//  3. field.go: header lines, what kind each of them is, and which may trail.
//  4. head.go: where a request's head ends ([ScanHead]), what of it can be judged
//     before that ([CheckStart]), and what it means ([Head.Parse], or
//     [Head.Check] for whoever has split its first line).
//  5. target.go: the target and the host that it names.
//  6. path.go: the one form of a path by which it is routed, and the readings of
//     it that servers have.
//  7. body.go: a push parser of bodies. Bytes go in as they come, in pieces of any
//     size, and the same data come out however they were cut.
//  8. chunk.go: the framing that is made for the other side.
//  9. response.go: the head of a backend's response, and what of it is passed on.
//
// # What is refused
//
// A request is judged strictly: what two programs could read differently is a
// [Fault], and no backend hears of it. Both Content-Length and
// Transfer-Encoding, any Transfer-Encoding but chunked, a line that does not end
// in CRLF, folded lines, spaces before a colon, several Hosts. A backend may
// end lines in LF alone; what it says of framing must be as clear.
//
// # Ownership
//
// The slices of a [Head] and of a [Response] are parts of the bytes that they
// were parsed from, and are good as long as those. Neither allocates once its
// Fields have grown; Reset keeps their memory. Nothing here is safe for
// concurrent use, but for functions without a receiver.
package http1
