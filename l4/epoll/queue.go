package epoll

import (
	"errors"
	"io"

	"sluice/l4"
	"sluice/pkg/reactor"
)

// readQueued takes what a client sends that waits for a slot, so that it is
// noticed if it goes away. One that ends its direction before it has sent a byte
// has closed: who ends there is rare that still expects anything. Who sends more
// than l4.MostAhead stays in the kernel.
func (x *session) readQueued() {
	up := &x.pair.Up
	for x.dialing.plan.Queued() && x.client.Readable() && !up.EOF() && up.Held() < l4.MostAhead {
		buf := x.l.Scratch()[:l4.MostAhead]
		n, err := x.client.Read(buf)
		switch {
		case err == nil:
			up.Hold(buf[:n])
		case errors.Is(err, reactor.ErrAgain):
			return
		case errors.Is(err, io.EOF) && up.Held() == 0:
			x.end(l4.ClientEOF)
			return
		case errors.Is(err, io.EOF):
			up.End()
		default:
			x.end(l4.ClientReset)
			return
		}
	}
}
