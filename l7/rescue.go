package l7

import (
	"errors"
	"time"

	"sluice/pkg/backend"
)

var errWentDown = errors.New("l7: health found it down before it answered")

// newlyDown returns the members that health has found to be down since it was
// last called. It is called for one snapshot after the other.
func (svc *service) newlyDown(now *backend.Snapshot) (fell []*backend.Backend) {
	down := make(map[*backend.Backend]bool)
	for _, b := range now.All {
		if b.State() != backend.Down {
			continue
		}
		down[b] = true
		if !svc.down[b] {
			fell = append(fell, b)
		}
	}
	svc.down = down
	return fell
}

// rescue takes elsewhere what waits for an answer of b, which is down.
func (sh *shard) rescue(b *backend.Backend) {
	var waiting []*exchange
	for c := sh.first; c != nil; c = c.next {
		if c.x != nil && c.x.backend == b && c.x.up != nil {
			waiting = append(waiting, c.x)
		}
	}
	for _, x := range waiting {
		if x.backend == b && x.up != nil { // still
			x.rescue()
		}
	}
}

// rescue makes another attempt beside the one that waits for a backend which is
// down, as after a failure and by the same rules. If that may not be, or there
// is nobody else, it goes on waiting: the backend may answer yet.
func (x *exchange) rescue() {
	f := x.attempt
	f.spent = x.retries >= x.waits.retries
	switch {
	case x.answered || x.tunnel != nil:
		return
	case x.up.connecting:
		f.connects++
	case !x.inDone || !x.held.empty():
		return
	}
	tried := x.tried
	tried.Add(x.backend)
	v := retry(f)
	if v == giveUp || !x.svc.balancer.Full(tried) || !x.free() && !x.svc.budget.Retry(time.Now()) {
		return
	}
	x.attempt.connects = f.connects
	x.reason, x.err = BackendReset, errWentDown
	x.elsewhere(v)
}
