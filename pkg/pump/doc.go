// Package pump moves bytes between two streams of a loop (pkg/reactor).
//
// A [Pump] is one direction: it reads what its source has, writes what its
// destination takes and holds the rest, splices a bulk in the kernel, and knows
// when the source has ended. A [Pair] is two of them between a client and a
// server, and knows what only both directions together tell: that each end
// (FIN) has been passed on, that no byte has moved for too long, and that a side
// has broken of which nobody reads.
//
// Neither has a socket, a timer or a counter of its own, nor knows what an end
// means: they are told of events, move what can be moved, and say what it came
// to. The owner of a Pair drives it so:
//
//	func (x *session) Ready(reactor.Stream) {
//		step := x.pair.Move(x.client, x.server) // in the handler of both streams
//		... count step.Up and step.Down
//		switch step.State {
//		case pump.Ended: ... close both; step.Side had ended first
//		case pump.Broke: ... Reset the other one of step.Side, close both
//		case pump.Changed: ... set the idle timer to x.pair.Left(...)
//		}
//	}
//
//	func (x *session) Expired(*reactor.Timer) { // the idle timer
//		if left := x.pair.Left(x.loop.Now(), idle, fin); left > 0 {
//			... set the timer again, to left
//		} else if side, broke := x.pair.Broken(x.client, x.server); broke {
//			... as pump.Broke above
//		} else {
//			... close both: nothing has moved for too long
//		}
//	}
//
// [Pump.Ahead] and [Pump.Hold] put in front what is to be sent before anything
// is read: a PROXY header, what a client has sent meanwhile. At the end, however
// it comes, [Pair.Drop] gives back what is borrowed.
//
// What waits for a destination is a [Backlog], which is of use alone to who
// reads with its own eyes, as for the bodies of HTTP.
//
// A direction holds memory, or a pipe, only while its destination does not take
// what was read; nothing more is read then, so that back-pressure reaches the
// source. All of this belongs to the loop of the streams and is to be used there
// alone.
package pump
