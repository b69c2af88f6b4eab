// Package attempt plans how a connection gets a backend: which one is tried,
// when another one is tried after it or beside it, when to wait for a slot, and
// when to give up.
//
// A [Plan] moves nothing. Its owner tells it what has happened and does what it
// answers:
//
//	event                                        action
//	Begin      somebody wants a backend          Dial, Enqueue, GiveUp
//	Failed     an attempt came to nothing        Dial, Enqueue, GiveUp, Wait (others are under way)
//	Slow       Action.After is over              Dial (a rival beside the slow one), Wait
//	Woken      a slot may be free                Dial, Enqueue, GiveUp, Wait (it is none of ours)
//	Overdue    there is no time left             GiveUp
//	Connected  an attempt has won                the plan is over
//	Lost       another one has, or nobody wants one any more
//
// The rules:
//
//   - A backend is tried once. There are up to Terms.Retries after the first
//     one, one after the other as they fail, each of which takes one from the
//     budget, unless it goes to a backend that is known to be good.
//   - Whoever refuses at once has cost nothing, while there is hope elsewhere: it
//     counts for neither, if Terms.Lenient.
//   - A backend that does not answer in time gets a rival, once at a time.
//   - If backends are left but none with a slot free, the connection queues
//     ([Queue]). Who comes while others wait does so at once.
//
// The plan picks, and a pick takes the backend's slot: with Connected that is the
// owner's, and with Failed and Lost the plan gives it back. Each backend of a
// Dial needs exactly one of the three. It also tells the backend how it fared:
// that it cannot be connected to, is slow, or was lost.
//
// A Plan belongs to one goroutine or one event loop, but for its [Waker]. Times
// are in ns of whatever clock its owner reckons time-outs in. Nothing is
// allocated up to balance.MaxTries backends without a wait.
package attempt
