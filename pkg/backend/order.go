package backend

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// Operator is the Signal of changes that an operator's order brought.
const Operator = "operator"

// Order is what an operator wants of a backend, whatever its source and health
// say. The zero value is nothing. It is comparable.
type Order struct {
	// Drain means no new connections. From CloseBy on, if it is not zero, those
	// that are open are closed.
	Drain   bool
	CloseBy time.Time
	// Reweigh says what becomes of the weight.
	Reweigh Reweigh
	// Force takes health's place.
	Force Force
	// Eject means out as if live traffic had failed, however few are left.
	Eject bool
	// Reason is why, in words; it may be empty.
	Reason string
}

// Reweigh is what becomes of a weight. The zero value leaves it.
type Reweigh struct {
	// Set says that it becomes Weight, 0 to MaxWeight; Factor, if not 0, is what
	// it is multiplied by.
	Set    bool
	Weight int
	Factor float64
}

// Force is a verdict in place of health's.
type Force uint8

// A backend can be forced up, so that it is used whatever checks, live traffic
// and the registry's critical say, and forced down.
const (
	NoForce Force = iota
	ForceUp
	ForceDown
)

// String returns the order as an operator reads it, empty for none.
func (o Order) String() string {
	var words []string
	if o.Drain {
		words = append(words, "drain")
		if !o.CloseBy.IsZero() {
			words = append(words, "until "+TimeOfDay(o.CloseBy).UTC().Format(time.RFC3339))
		}
	}
	switch {
	case o.Reweigh.Set:
		words = append(words, fmt.Sprintf("weight %d", o.Reweigh.Weight))
	case o.Reweigh.Factor != 0:
		words = append(words, fmt.Sprintf("weight %gx", o.Reweigh.Factor))
	}
	switch o.Force {
	case ForceUp:
		words = append(words, "forced up")
	case ForceDown:
		words = append(words, "forced down")
	}
	if o.Eject {
		words = append(words, "ejected")
	}
	return strings.Join(words, ", ")
}

// words says what the operator has done, and why.
func (o Order) words() string {
	s := "the operator has it so: " + o.String()
	if o.Reason != "" {
		s += " (" + o.Reason + ")"
	}
	return s
}

// out reports whether it means no new connections.
func (o *Order) out() bool { return o != nil && (o.Drain || o.Force == ForceDown || o.Eject) }

// SetOrders replaces what an operator wants of the members, by address, those
// to come included, and makes the pool act on it before it returns. Backends
// that get new connections again start slowly, as the policy says.
func (p *Pool) SetOrders(orders map[string]Order) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if maps.Equal(p.orders, orders) {
		return
	}
	p.countTraffic()
	p.orders = maps.Clone(orders)
	now := time.Now()
	for _, b := range p.sorted {
		was, old := b.standing(), b.Order()
		b.obey(orders)
		next := b.Order()
		if next == old {
			continue
		}
		c := Change{At: now, To: next.String(), Signal: Operator, Detail: next.Reason}
		if c.To == "" {
			c.To, c.Detail = "released", "was "+old.String()
		}
		if was == drained && b.standing() == available {
			b.Warm(p.policy.SlowStart)
		}
		p.tell(b, c)
	}
	p.publish()
}

// obey takes the order for b out of those of its pool.
func (b *Backend) obey(orders map[string]Order) {
	if o, ok := orders[b.addr]; ok && o != (Order{}) {
		b.order.Store(&o)
		return
	}
	b.order.Store(nil)
}

// ordered returns when the latest order came.
func (b *Backend) ordered() (at time.Time) {
	for _, c := range b.History() {
		if c.Signal == Operator {
			at = c.At
		}
	}
	return at
}

// Order returns what an operator wants of the backend.
func (b *Backend) Order() Order {
	if o := b.order.Load(); o != nil {
		return *o
	}
	return Order{}
}

// weigh returns the weight of a member of that weight.
func (o *Order) weigh(w int) float64 {
	switch {
	case o == nil:
	case o.Reweigh.Set:
		return float64(o.Reweigh.Weight)
	case o.Reweigh.Factor != 0:
		return float64(w) * o.Reweigh.Factor
	}
	return float64(w)
}

// Memory is what a backend remembers, one thing or several.
type Memory uint8

// What a backend can be made to forget.
const (
	Latency Memory = 1 << iota // how fast it answered, and how often it failed
	Warmth                     // a slow start that is under way
)

// Forget makes the backend forget, as if it had been seen for the first time.
func (b *Backend) Forget(what Memory) {
	if what&Latency != 0 {
		b.forgive()
		b.outcomes.latency.word.Store(0)
		b.outcomes.samples.Store(0)
	}
	if what&Warmth != 0 {
		b.warming.word.Store(0)
	}
}
