// Package reactor runs event loops over non-blocking streams. It knows no
// protocol; what bytes mean is the business of the [Handler] of a stream.
//
// A [Group] has one [Loop] a core. A stream belongs to one loop for life, and
// everything about it happens in that loop's goroutine: its handler is called
// there, and its methods may be called only there. So a handler needs no
// locks, and must never block. What comes from other goroutines enters a loop
// through [Loop.Post].
//
// A turn of a loop: wait for events; advance the clock; tell the handlers of
// streams that became ready; run the timers that are due and what was posted;
// tell the handlers that asked to go on ([Loop.Again]); close what was closed.
//
// Invariants:
//
//   - Sockets are registered once, edge-triggered, for everything. A stream
//     remembers that it is readable or writable until an operation says
//     [ErrAgain], or a read came back short, which means that the next byte
//     will raise a new edge.
//   - A descriptor is closed at the end of the turn, so that no event of the
//     turn can meet its successor.
//   - A handler that still has work when it has had its share asks for Again
//     and returns; no stream can starve the others of its loop.
//   - A panic in a handler ends the stream that it was called for, and nothing
//     else.
//   - A loop that had events lately waits in a raw system call, which keeps its
//     P: giving it away at each wait costs some 3 µs. One that is idle waits in
//     an ordinary one. GOMAXPROCS must therefore leave room beside the loops.
//   - Clock reads are one a turn; [Loop.Now] is that reading.
//   - A [Socket] is driven by the loop itself, and on Linux alone. A [Conn] is a
//     net.Conn with goroutines that read ahead and write behind it, within
//     bounds: TLS is carried so, and on other systems everything.
//   - Memory for bytes belongs to the loop ([Loop.Scratch]) or is borrowed
//     ([Loop.Borrow]) while a peer cannot take what was read.
package reactor
