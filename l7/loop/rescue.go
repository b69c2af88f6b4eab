package loop

import "sluice/pkg/backend"

// visitsPerTurn is how many connections one turn of a loop looks at to find
// those that wait for a backend which is down.
const visitsPerTurn = 512

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
		if x := c.x; x != nil && x.up != nil && r.down[x.Backend()] {
			x.rescue()
		}
	}
	r.sh.l.Post(r.walk)
}
