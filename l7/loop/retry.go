package loop

import "sluice/l7/gate"

// connectFailed goes on after an attempt to connect failed. up is nil if that
// was known at once. It may end the exchange.
func (x *exchange) connectFailed(up *upstream, err error) {
	now := x.sh.now()
	began := now.Mono
	if up != nil {
		began = up.begun
		x.closeUpstream()
	}
	x.follow(x.ConnectFailed(now, began, err))
}

// attemptFailed goes on after an attempt that had a connection brought no
// response. It may end the exchange.
func (x *exchange) attemptFailed(r gate.Reason, err error) {
	x.resetUpstream()
	x.follow(x.AttemptFailed(x.sh.now(), r, err))
}

// rescue makes another attempt beside the one that waits for a backend which is
// down, if that may be. It may end the exchange.
func (x *exchange) rescue() {
	defer x.c.guard()
	switch x.phase {
	case connecting, waiting:
	default:
		return
	}
	now := x.sh.now()
	if x.Rescue(now) == gate.Retry {
		x.resetUpstream()
		x.Rescued(now)
		x.another()
	}
}

// follow does as was decided after a failure. It may end the exchange.
func (x *exchange) follow(d gate.Decision) {
	if d != gate.Retry {
		x.conclude()
		return
	}
	x.another()
}

// another makes another attempt. It may end the exchange.
func (x *exchange) another() {
	x.upload.held.Drop(x.sh.l)
	x.upload.deaf = false
	x.try()
}
