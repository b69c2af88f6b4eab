// Package copy is the driver of l4 with goroutines: one walks a connection from
// accept to record, and one more copies the other direction once it is
// established. It runs everywhere, with and without TLS, and is the plain
// reference that the epoll driver is held against.
//
// The walk of a connection:
//
//  1. server.go: New; Serve accepts, and walk leads a connection through the
//     rest.
//  2. dial.go: does what the plan (pkg/attempt) says; queue.go waits for a slot.
//  3. relay.go: io.Copy, both ways, until both have ended; idle.go looks whether
//     anything moves.
//
// evict.go knows the connections to each backend, and ends them.
//
// # io.Copy, its buffers, and splice
//
// A direction that waits for bytes holds nothing but its goroutine: on Linux it
// waits until its socket is readable, and borrows a buffer from a pool then, for
// one read and one write. For small messages that is cheaper than splice(2).
// A read that fills the buffer is taken for the middle of a stream, and the next
// stretch of it goes by io.Copy (move.go):
//
//   - From one *net.TCPConn to another, io.Copy finds that the destination is an
//     io.ReaderFrom and leaves the work to TCPConn.ReadFrom, which on Linux sees
//     that the source is a TCPConn, limited or not, and calls splice(2): from the
//     one socket into a pipe of the runtime's pool, from there into the other one,
//     so that the bytes never enter user space. The pipe is held for the stretch
//     alone; that ends when a MiB has passed, so that it is counted, or when the
//     stream pauses, so that a pair costs two descriptors and not six.
//   - With TLS on either side there is nothing to splice: the bytes must come
//     through the process. io.CopyBuffer then uses a buffer of the pool, for which
//     both sides must hide what else they can do, or it would take another way
//     and a buffer of its own.
//
// An end (FIN) is passed on as a half-close, TLS' own before it, and the other
// direction goes on for as long as it likes. A reset is passed on as a reset:
// SO_LINGER 0 is set on the other connection, so that its Close sends RST and
// nobody mistakes a broken stream for a complete one.
package copy
