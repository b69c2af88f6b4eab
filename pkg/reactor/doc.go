// Package reactor runs event loops over non-blocking streams. It knows no
// protocol; what bytes mean is the business of the [Handler] of a stream.
//
// A [Group] has one [Loop] a core. A stream belongs to one loop, until it is
// moved if that ever happens ([Socket.Move]), and everything about it happens in
// that loop's goroutine: its handler is called
// there, and its methods may be called only there. So a handler needs no
// locks, and must never block. What comes from other goroutines enters a loop
// through [Loop.Post].
//
// A turn of a loop: wait for events; advance the clock; tell the handlers of
// streams that became ready; run what was posted; run the timers that are due;
// tell the handlers that asked to go on ([Loop.Again]); close what was closed.
//
// Invariants:
//
//   - Sockets are registered once, edge-triggered, for everything. A stream
//     remembers that it is readable or writable until an operation says
//     [ErrAgain], or a read came back short, which means that the next byte
//     will raise a new edge; but not where there is urgent data, at which a
//     read stops, and splice for good.
//   - Events first, then timers: what has come is dealt with before anybody is
//     told that it did not come in time. Where one turn cannot bring all that
//     has come, timers wait for the next.
//   - Time stands still while a loop does not run, so that a pause of ours is
//     nobody else's fault ([Loop.Now], [Loop.StalledSince]). Pauses are counted
//     and logged, and so are loops that hang in a handler.
//   - As few loops accept as can do the work; connections that have stayed move
//     from busy loops to others (pack.go, [Loop.Shed]).
//   - The work of a turn is bounded: so many events, accepts, timers, and bytes
//     a stream.
//   - A descriptor is closed at the end of the turn, so that no event of the
//     turn can meet its successor.
//   - A handler that still has work when it has had its share asks for Again
//     and returns; no stream can starve the others of its loop.
//   - A panic in a handler ends the stream that it was called for, and nothing
//     else; one in an alarm ends what the alarm is for, if that is a [Mourner].
//     What is posted about a stream, or done for one that was just accepted,
//     runs in [Loop.Guard].
//   - A loop that had events lately waits in a raw system call, which keeps its
//     P: giving it away at each wait costs some 3 µs. One that is idle waits in
//     an ordinary one. GOMAXPROCS must therefore leave room beside the loops.
//   - Clock reads are one a turn: [Loop.Real], and [Loop.Now] without stalls.
//     [Loop.Wall] is the time of day, for people alone.
//   - A [Socket] is driven by the loop itself, and on Linux alone; a [Secured] is
//     TLS upon one, whose handshake was made elsewhere. A [Conn] is a net.Conn
//     with goroutines that read ahead and write behind it, within bounds: on
//     other systems everything is carried so.
//   - Memory for bytes belongs to the loop ([Loop.Scratch]) or is borrowed
//     ([Loop.Borrow]) while a peer cannot take what was read.
package reactor
