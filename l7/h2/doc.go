// Package h2 speaks HTTP/2 (RFC 9113) in an event loop. A [Session] is a
// connection, to a client or to a backend; each of its streams is a
// reactor.Stream that reads and takes HTTP/1.1, so that whoever drives requests
// of HTTP/1.1 drives these, by the same rules. Nothing here waits, and nothing
// decides about services.
//
// One file a step:
//
//  1. session.go reads frames (frame.go) and hands them on, take.go says what
//     each of them does; settings.go is what both sides have agreed on, guard.go what
//     a peer may ask for in vain.
//  2. headers.go decodes header blocks, with golang.org/x/net's HPACK, and judges
//     fields; request.go makes of them the head of a request of HTTP/1.1, and
//     response.go that of a response.
//  3. stream.go is what a reader sees of a stream, write.go what a writer may say
//     to it; client.go and response.go are the heads that they send, encode.go
//     makes header blocks.
//  4. output.go is what waits for the peer to take it, with windows and turns.
//  5. leave.go ends sessions: idle ones, silent ones, and those that are told to
//     go elsewhere. grpc.go says to callers of gRPC what others are told in HTTP.
//
// It is no front on net/http or x/net/http2's Server and Transport, for what they
// do differently: two words at the end (GOAWAY), windows of a connection that no
// stream can use up, retries that are sluice's to decide, connections that are
// counted, and a goroutine or three for each request.
//
// # Invariants
//
//   - Nothing of a field becomes a line of its own: names are tokens in lower
//     case, values have no CR, LF or NUL, paths and methods no blank. What is
//     malformed is reset with PROTOCOL_ERROR, and no backend hears of it.
//   - A stream holds at most 64 KiB that its reader has not read, or 128 KiB once
//     that reads it, and a session 64 KiB of DATA that its peer has not taken. A
//     connection's window is credited as DATA come, so that no stream holds up
//     another, until those of a client hold 4 MiB.
//   - The last byte of a body that says its length is read with the body's end: a
//     trailer section behind it is not missed, which goes beside the message.
//   - What frames that bring nothing cost is bounded, see guard.go; and so is a
//     header block in bytes, in fields and in frames.
//   - A message that breaks off never becomes a complete one: its stream is
//     reset, or, if it is a call of gRPC, ends with the status UNAVAILABLE.
package h2
