package epoll

import (
	"time"

	"sluice/l4"
)

// Panicked ends the session after a defect of ours.
func (x *session) Panicked() { x.end(l4.InternalError) }

// end ends the session: streams, slot, timers and buffers are given back, a side
// that broke is passed on as a reset, and the outcome is recorded if the session
// was led to a service.
func (x *session) end(reason l4.Reason) {
	if x.ended {
		return
	}
	x.ended = true
	defer x.s.gate.Listener().Leave(x.place)
	if x.naming != nil && x.naming.awaiting != nil {
		x.naming.awaiting.Stop()
	}
	x.list().remove(x)
	x.stopDialing()
	x.l.Stop(&x.timer)
	x.l.Stop(&x.flush)
	switch {
	case reason == l4.BackendReset || reason.Unserved():
		x.client.Reset()
	case x.server != nil && (reason == l4.ClientReset || reason == l4.InternalError):
		x.server.Reset()
	}
	x.pair.Drop(x.l)
	x.client.Close()
	if x.server != nil {
		x.server.Close()
	}
	if x.ticket.Upstream() == nil {
		return
	}
	if x.server != nil {
		x.count()
	}
	x.ticket.Leave(l4.Ending{
		Reason: reason, In: x.pair.Up.Moved(), Out: x.pair.Down.Moved(),
		Duration: time.Duration(x.l.Real() - x.start), Stalled: x.l.StalledSince(x.began),
	})
}
