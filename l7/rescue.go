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

// visitsPerTurn is how many connections one turn of a loop looks at to find
// those that wait for a backend which is down.
const visitsPerTurn = 512

// rescuer looks for what waits for backends that are down. However many fall at
// once, as when a zone fails, it walks over a shard's connections once for all
// that were down when it began, some of them in each turn.
type rescuer struct {
	sh   *shard
	fell map[*backend.Backend]bool // since the walk began, or before there was one
	down map[*backend.Backend]bool // that the walk is about
	at   *conn                     // whom it looks at next; nil if there is no walk
}

// rescue takes elsewhere what waits for an answer of b, which is down.
func (r *rescuer) rescue(b *backend.Backend) {
	if r.fell == nil {
		r.fell = make(map[*backend.Backend]bool)
	}
	if r.fell[b] = true; r.down == nil {
		r.begin()
	}
}

// begin begins a walk, if there is a reason.
func (r *rescuer) begin() {
	r.down, r.fell = r.fell, nil
	if r.at = r.sh.first; r.down != nil {
		r.walk()
	}
}

// walk looks at some more connections.
func (r *rescuer) walk() {
	for range visitsPerTurn {
		c := r.at
		if c == nil {
			r.begin()
			return
		}
		r.at = c.next
		if x := c.x; x != nil && x.up != nil && r.down[x.backend] {
			x.guardedRescue()
		}
	}
	r.sh.l.Post(r.walk)
}

// gone is told that c is no connection of the shard any more.
func (r *rescuer) gone(c *conn) {
	if r.at == c {
		r.at = c.next
	}
}

func (x *exchange) guardedRescue() {
	defer x.c.guard()
	x.rescue()
}

// rescue makes another attempt beside the one that waits for a backend which is
// down, as after a failure and by the same rules. If that may not be, or there
// is nobody else, it goes on waiting: the backend may answer yet.
func (x *exchange) rescue() {
	f := x.attempt
	f.spent = x.spent()
	switch {
	case x.answered || x.tunnel != nil:
		return
	case x.up.connecting:
		f.connects++
	case !x.inDone || !x.held.empty():
		return
	}
	v := retry(f)
	if v == giveUp || !x.svc.balancer.HasUntried(x.triedToo()) || !x.free() && !x.svc.budget.Retry(time.Now()) {
		return
	}
	x.attempt.connects = f.connects
	x.reason, x.err = BackendReset, errWentDown
	x.elsewhere(v)
}
