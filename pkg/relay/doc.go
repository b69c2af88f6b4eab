// Package relay copies bytes both ways between a client and a backend.
//
// [Copy] runs one goroutine a direction and returns when both directions have
// ended:
//
//   - the end of a direction (FIN) is passed on as a half-close, and the other
//     direction goes on for as long as it likes;
//   - a reset is passed on as a reset: SO_LINGER 0 is set on the other
//     connection, so that the caller's Close sends RST and nobody mistakes a
//     broken stream for a complete one;
//   - a pair that moves no byte in either direction for the idle time ends.
//
// A direction that waits for bytes holds nothing but its goroutine. When bytes
// come it borrows a pooled buffer for one read and one write, which for small
// messages is cheaper than splice(2). A read that fills the buffer is taken
// for the middle of a stream, and on Linux the next stretch of it goes by
// io.Copy from TCPConn to TCPConn, which is splice: the bytes then never enter
// user space. A pipe is held for that stretch only; it ends when a MiB has
// passed or the stream pauses. So a pair costs two descriptors, and memory
// only while bytes are under way.
package relay
