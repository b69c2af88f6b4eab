package epoll

import (
	"sluice/l4"
	"sluice/pkg/reactor"
)

// settle gives an established session, which has nothing under way, to a loop
// that is less busy, if there is one, and reports whether it did: then the session
// is that loop's, and not to be touched here.
func (x *session) settle() bool {
	client, ok := x.client.(*reactor.Socket)
	if !ok || x.ended || !x.pair.Idle() {
		return false
	}
	from := x.l
	to := from.Shed(client, x.since)
	if to == nil {
		return false
	}
	server, ok := x.server.(*reactor.Socket)
	if !ok || x.s.closing.Err() != nil {
		return false
	}
	if stays, _ := x.ticket.Backend().Eligible(); !stays { // it may be about to be evicted
		return false
	}
	evictions := x.s.evictions.Load()
	real, now := from.Real(), from.Now()
	x.count()
	from.Stop(&x.timer)
	x.list().remove(x)
	if !reactor.MovePair(client, server, to, func(client, server *reactor.Socket, err error) {
		x.l, x.since = to, to.Real()
		x.start += to.Real() - real
		x.began += to.Now() - now
		x.pair.Shift(to.Now() - now)
		x.list().join(x)
		if err != nil {
			x.end(l4.InternalError)
			return
		}
		x.client, x.server = client, server
		x.settled(evictions)
	}) {
		x.list().join(x)
		x.watchIdle()
		return false
	}
	return true
}

// settled is told, in the loop that the session lives in from now on, that it has
// come there; evictions is how many had begun before.
func (x *session) settled(evictions uint64) {
	x.client.Handle(x)
	x.server.Handle(x)
	x.watchIdle()
	switch ok, _ := x.ticket.Backend().Eligible(); {
	case x.s.closing.Err() != nil:
		x.end(l4.Draining)
	case !ok && x.s.evictions.Load() != evictions: // which may have missed it
		x.end(l4.BackendDrained)
	}
}
