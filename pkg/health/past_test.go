package health

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/backend"
)

// TestMonitorRemembers has a backend that flaps leave and come back: it is down
// still, needs as many passes as before to be up, and an ejection goes on and
// ends in time.
func TestMonitorRemembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		m := NewMonitor(Config{Check: check, Logger: slog.New(slog.DiscardHandler)})
		defer m.Close()
		p := backend.NewPool("web")
		p.SetPolicy(backend.Policy{MaxEjection: 100})
		set := func(addrs ...string) []*backend.Backend {
			var targets []backend.Target
			for _, a := range addrs {
				targets = append(targets, backend.Target{ID: a, Address: a, Weight: 1})
			}
			m.Follow(p.Set(targets))
			return p.Snapshot().All
		}
		both := []string{"10.0.0.1:80", "10.0.0.2:80"}
		b := set(both...)[0]
		time.Sleep(10 * time.Second)
		for range 2 { // it flaps
			check.set(errors.New("refused"))
			time.Sleep(10 * time.Second)
			check.set(nil)
			time.Sleep(3 * time.Second)
		}
		check.set(errors.New("refused"))
		time.Sleep(10 * time.Second)
		rise := b.Condition().Rise
		if b.State() != backend.Down || rise <= 2 {
			t.Fatalf("unexpected state after flaps: %v, rise %d", b.State(), rise)
		}
		set(both[1])
		time.Sleep(5 * time.Second)
		check.set(nil)
		b = set(both...)[0]
		if b.State() != backend.Down || len(b.History()) < 5 {
			t.Fatalf("unexpected state of who is back: %v, %v", b.State(), b.History())
		}
		for b.State() == backend.Down {
			time.Sleep(10 * time.Millisecond)
		}
		if got := int(b.Counters.ChecksPassed.Load()); got < 4*2 {
			t.Fatalf("unexpected passes that brought it up again; got %d; want 8 at least", got)
		}

		time.Sleep(10 * time.Minute) // the other one, too
		for range backend.AlarmAfter {
			b.ReportConnectFailure()
		}
		synctest.Wait()
		e := b.Condition().Ejection
		if !e.Active() {
			t.Fatal("it was not ejected")
		}
		check.set(errors.New("refused")) // so that it does not end before
		set(both[1])
		b = set(both...)[0]
		if got := b.Condition().Ejection; got != e {
			t.Fatalf("unexpected ejection of who is back; got %+v; want %+v", got, e)
		}
		time.Sleep(time.Until(e.Until) + time.Second)
		if b.Condition().Ejection.Active() {
			t.Fatal("the ejection does not end")
		}
	})
}
