package gate

import "sluice/pkg/balance"

// failure describes an attempt that brought no response, and the request.
type failure struct {
	reach  reach
	cause  cause
	reused bool // the connection had served a request before

	replayable bool // the request has no body, or all of it is still at hand
	idempotent bool // the method may be carried out twice
	spent      bool // there were as many attempts as there may be

	refusals int // attempts of this request that were refused, this one included
	connects int // other connection attempts of this request that failed, this one included
	replays  int // times that this request was sent again already
	idled    int // those of them that followed an idle connection which had died
}

// reach is how far an attempt has come.
type reach uint8

const (
	unconnected reach = iota
	connected         // a connection is there to send the request on
	written           // some byte of the request may have been sent
	seen              // some byte of a response was seen
)

// cause is why an attempt failed, as far as it matters.
type cause uint8

const (
	otherwise cause = iota
	refused         // at once, and there is hope elsewhere; see balance.Balancer.HasHope
	overdue         // it took too long
)

// verdict is what to do after a failure.
type verdict uint8

const (
	giveUp        verdict = iota
	another               // try a backend that was not tried yet
	anotherOrSame         // or, if there is none, the same over a new connection
)

// mostRefusals is how many refusals do not count as attempts.
const mostRefusals = balance.MostTried - balance.MaxTries

// retry decides whether a request may be tried again. In this order:
//
//   - nothing is repeated once the client could have seen a byte of a
//     response, or a backend was given the time it has, or there were as many
//     attempts as there may be;
//   - what failed before any byte was sent is safe with every method, as long
//     as the body is still whole: up to balance.MaxTries connection attempts,
//     not counting those that were refused at once, which cost nothing;
//   - a request that may have been read by the backend is sent once more if it
//     is idempotent and all of it is at hand. If its connection had been idle,
//     that says little about the backend, which therefore may be tried again;
//     and if that fails too, as when it was being killed, there is one more.
func retry(f failure) verdict {
	switch {
	case f.reach == seen || f.spent:
		return giveUp
	case f.reach == unconnected: // in time or not: nothing was sent
		if f.cause == refused || f.connects < balance.MaxTries {
			return another
		}
		return giveUp
	case f.cause == overdue:
		return giveUp
	case f.replays > f.idled:
		return giveUp
	case f.reach == written && !(f.idempotent && f.replayable):
		return giveUp
	case f.reused:
		return anotherOrSame
	}
	return another
}
