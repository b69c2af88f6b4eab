package backend

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOrders tries what an operator's orders make of members in every other
// state.
func TestOrders(t *testing.T) {
	t.Parallel()
	f := func(o Order, status Status, state State, weight int, want bool) {
		t.Helper()
		p := NewPool("web")
		p.SetPolicy(Policy{Panic: 50})
		p.Set([]Target{{ID: "a", Address: "10.0.0.1:80", Weight: weight, Status: status}, {ID: "b", Address: "10.0.0.2:80", Weight: 1}, {ID: "c", Address: "10.0.0.3:80", Weight: 1}})
		a := p.Snapshot().All[0]
		a.SetCondition(Condition{State: state, Since: time.Now(), Signal: "tcp check"})
		p.SetOrders(map[string]Order{"10.0.0.1:80": o})
		if got := p.Snapshot().Offers(a); got != want {
			_, why := a.Eligible()
			t.Errorf("unexpected use by order %q, status %v, state %v, weight %d: %v: %s", o, status, state, weight, got, why)
		}
		if ok, why := a.Eligible(); !ok && o != (Order{}) && o.out() && !strings.HasPrefix(why, "the operator has it so: ") {
			t.Errorf("unexpected reason with order %q: %s", o, why)
		}
		p.SetOrders(nil)
		if a.Order() != (Order{}) {
			t.Errorf("unexpected order after all were taken back: %v", a.Order())
		}
	}
	f(Order{}, Passing, Up, 1, true)
	f(Order{Drain: true}, Passing, Up, 1, false)
	f(Order{Eject: true}, Passing, Up, 1, false)
	f(Order{Force: ForceDown}, Passing, Up, 1, false)
	f(Order{Force: ForceUp}, Passing, Down, 1, true)
	f(Order{Force: ForceUp}, Critical, Down, 1, true)
	f(Order{Force: ForceUp}, Maintenance, Up, 1, false) // somebody else's explicit word
	f(Order{Force: ForceUp, Drain: true}, Passing, Up, 1, false)
	f(Order{Force: ForceUp}, Passing, Up, 0, false)
	f(Order{Reweigh: Reweigh{Set: true}}, Passing, Up, 1, false)
	f(Order{Reweigh: Reweigh{Set: true, Weight: 5}}, Passing, Up, 0, true)
	f(Order{Reweigh: Reweigh{Factor: 0.25}}, Passing, Up, 1, true)
	f(Order{Reweigh: Reweigh{Factor: 2}}, Passing, Up, 0, false)
}

// TestOrdersInPanic has a panic use nobody whom the operator keeps out.
func TestOrdersInPanic(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	p.SetPolicy(Policy{Panic: 50})
	p.SetOrders(map[string]Order{"h1:80": {Drain: true}, "h2:80": {Force: ForceDown}, "h3:80": {Eject: true}})
	p.Set([]Target{{ID: "a", Address: "h1:80", Weight: 1}, {ID: "b", Address: "h2:80", Weight: 1}, {ID: "c", Address: "h3:80", Weight: 1}, {ID: "d", Address: "h4:80", Weight: 1}})
	p.Snapshot().All[3].SetCondition(Condition{State: Down, Since: time.Now()})
	if s := p.Snapshot(); len(s.Eligible) != 1 || s.Eligible[0].Addr() != "h4:80" {
		t.Errorf("unexpected backends in a panic: %d", len(s.Eligible))
	}
}

// TestOrderedWeights checks the weights that a factor makes, small ones too.
func TestOrderedWeights(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	p.Set([]Target{{ID: "a", Address: "h1:80", Weight: 1}, {ID: "b", Address: "h2:80", Weight: 1}, {ID: "c", Address: "h3:80", Weight: 3}})
	f := func(want string, orders map[string]Order) {
		t.Helper()
		p.SetOrders(orders)
		if got := fmt.Sprint(p.Snapshot().Weights); got != want {
			t.Errorf("unexpected weights by %v; got %s; want %s", orders, got, want)
		}
	}
	f("[1 1 3]", nil)
	f("[128 64 384]", map[string]Order{"h2:80": {Reweigh: Reweigh{Factor: 0.5}}})
	f("[1 2 3]", map[string]Order{"h2:80": {Reweigh: Reweigh{Factor: 2}}})
	f("[1 7 3]", map[string]Order{"h2:80": {Reweigh: Reweigh{Set: true, Weight: 7}}})
	f("[1 1 3]", nil)
}

// TestOrderedDeparture has the connections to a drained backend live on, until
// the moment that the order names and no longer; undrained in time they stay.
func TestOrderedDeparture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("web")
		p.Set([]Target{{ID: "a", Address: "h1:80", Weight: 1}, {ID: "b", Address: "h2:80", Weight: 1}})
		var ended []string
		begin := time.Now()
		defer Departures{Terms: func() Terms { return Terms{Drain: time.Minute} }, End: func(addr string, why Departure, over time.Duration) {
			ended = append(ended, fmt.Sprintf("%s %d after %v over %v", addr, why, time.Since(begin), over))
		}}.Follow(p)()
		f := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := strings.Join(ended, "; "); got != want {
				t.Errorf("unexpected ends; got %q; want %q", got, want)
			}
			ended = nil
		}
		order := func(o Order) { p.SetOrders(map[string]Order{"h1:80": o}) }
		order(Order{Drain: true})
		f(time.Hour, "") // established live on
		order(Order{Drain: true, CloseBy: begin.Add(time.Hour + 20*time.Second)})
		f(10*time.Second, "")
		p.SetOrders(nil)
		f(time.Hour, "")
		order(Order{Drain: true, CloseBy: time.Now().Add(20 * time.Second)})
		f(time.Minute, "h1:80 1 after 2h0m30s over 2s")
		p.SetOrders(nil)
		p.Set([]Target{{ID: "b", Address: "h2:80", Weight: 1}})
		f(time.Hour, "h1:80 1 after 2h2m10s over 6s") // as ever where there is no order
	})
}
