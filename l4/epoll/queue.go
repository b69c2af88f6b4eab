package epoll

import (
	"errors"

	"sluice/l4"
	"sluice/pkg/reactor"
)

// readQueued takes what a client sends that waits for a slot, so that it is
// noticed if it goes away; see l4.HasLeft.
func (x *session) readQueued() {
	up := &x.pair.Up
	for x.dialing.plan.Queued() && x.client.Readable() && !up.EOF() && up.Held() < l4.MostAhead {
		buf := x.l.Scratch()[:l4.MostAhead]
		n, err := x.client.Read(buf)
		if err == nil {
			up.Hold(buf[:n])
			continue
		}
		if errors.Is(err, reactor.ErrAgain) {
			return
		}
		if how, left := l4.HasLeft(up.Held(), err); left {
			x.end(how)
			return
		}
		up.End()
	}
}
