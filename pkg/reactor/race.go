package reactor

import (
	"errors"
	"net/netip"
	"time"
)

// Racer is told of the outcome of a Race, in its loop.
type Racer interface {
	// Raced gets the socket that is connected, to addr, which it then owns and
	// has to Handle; or nil if no address could be connected to. failed then, and
	// otherwise too, are the attempts that came to nothing.
	Raced(s *Socket, addr netip.AddrPort, failed []Failed)
}

// Failed is an attempt to connect that came to nothing.
type Failed struct {
	Addr netip.AddrPort
	Err  error
}

// Race connects to the first of several addresses that answers, as RFC 8305,
// section 5, has it: the next one is tried as soon as one has failed or has
// taken a while, beside those that are under way. It belongs to its loop.
type Race struct {
	l       *Loop
	addrs   []netip.AddrPort
	delay   time.Duration
	racer   Racer
	lanes   []*lane // under way
	begun   int
	failed  []Failed
	timer   Timer
	over    bool
	pending bool // the outcome is on its way to the racer
}

// lane is an attempt of a race, and the handler of its socket.
type lane struct {
	r    *Race
	addr netip.AddrPort
	s    *Socket
}

// Race begins to connect to addrs, in their order, with delay between two that
// do not answer. r is told of the outcome later, never before Race returns.
func (l *Loop) Race(addrs []netip.AddrPort, delay time.Duration, r Racer) *Race {
	race := &Race{l: l, addrs: addrs, delay: delay, racer: r}
	race.next()
	return race
}

// next begins the next attempt, or ends the race if there is nobody left.
func (r *Race) next() {
	for r.begun < len(r.addrs) {
		addr := r.addrs[r.begun]
		r.begun++
		s, err := r.l.Connect(addr)
		if err != nil {
			r.failed = append(r.failed, Failed{addr, err})
			continue
		}
		w := &lane{r: r, addr: addr, s: s}
		s.Handle(w)
		r.lanes = append(r.lanes, w)
		if r.begun < len(r.addrs) {
			r.l.After(&r.timer, r.delay, r)
		}
		return
	}
	if len(r.lanes) == 0 && !r.pending {
		r.pending = true
		r.l.Post(func() {
			if !r.over {
				r.Close()
				r.racer.Raced(nil, netip.AddrPort{}, r.failed)
			}
		})
	}
}

// Expired is told that it is time for the next address.
func (r *Race) Expired(*Timer) {
	if !r.over && r.begun < len(r.addrs) {
		r.next()
	}
}

// Ready is told of the outcome of an attempt.
func (w *lane) Ready(Stream) {
	r := w.r
	if r.over {
		return
	}
	err := w.s.Connected()
	if errors.Is(err, ErrAgain) {
		return
	}
	for i, x := range r.lanes {
		if x == w {
			r.lanes = append(r.lanes[:i], r.lanes[i+1:]...)
			break
		}
	}
	if err != nil {
		w.s.Close()
		r.failed = append(r.failed, Failed{w.addr, err})
		r.l.Stop(&r.timer)
		r.next()
		return
	}
	r.Close()
	r.racer.Raced(w.s, w.addr, r.failed)
}

// Panicked gives back what a panic of the racer would have kept.
func (w *lane) Panicked() {
	w.r.Close()
	if m, ok := w.r.racer.(Mourner); ok {
		m.Panicked()
	}
}

// Close ends the attempts that are under way; nobody hears of them any more. It
// is idempotent.
func (r *Race) Close() {
	r.over = true
	r.l.Stop(&r.timer)
	for _, w := range r.lanes {
		w.s.Close()
	}
	r.lanes = nil
}

// GaveUp returns what came of the attempts so far, those under way having
// failed of err.
func (r *Race) GaveUp(err error) []Failed {
	all := append([]Failed(nil), r.failed...)
	for _, w := range r.lanes {
		all = append(all, Failed{w.addr, err})
	}
	return all
}
