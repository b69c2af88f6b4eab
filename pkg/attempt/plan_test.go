package attempt

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
)

// script is a plan and what has happened to it.
type script struct {
	t     *testing.T
	terms *Terms
	plan  Plan
	now   int64
	woken int
	under []*backend.Backend // attempts under way, the oldest first
	log   []string
}

func (s *script) Wake() bool { s.woken++; return true }

// newScript returns a plan over n backends that are tried in turn, with a budget
// that allows no retry.
func newScript(t *testing.T, n int, change func(*Terms)) *script {
	t.Helper()
	pool := backend.NewPool("db")
	var targets []backend.Target
	for i := range n {
		id := string(rune('a' + i))
		targets = append(targets, backend.Target{ID: id, Address: fmt.Sprintf("127.0.0.1:%d", i+1), Weight: 1})
	}
	pool.Set(targets)
	b, err := balance.New(pool, "round_robin")
	if err != nil {
		t.Fatal(err)
	}
	budget := limit.NewBudget(0, 0, time.Now())
	for budget.Retry(time.Now()) {
	}
	s := &script{t: t, terms: &Terms{
		Balancer: b, Budget: budget, Retries: balance.MaxTries - 1, HedgeAfter: time.Second, QueueTimeout: 10 * time.Second,
		Counters: Counters{Failures: &metrics.Counter{}, Retries: &metrics.Counter{}, Hedges: &metrics.Counter{}, Denied: &metrics.Counter{}},
	}}
	if change != nil {
		change(s.terms)
	}
	s.plan = New(s.terms, s, 0)
	return s
}

func rich(t *Terms) { t.Budget = limit.NewBudget(-1, 0, time.Now()) }

// did notes an action.
func (s *script) did(a Action) {
	switch a.Do {
	case Wait:
		s.log = append(s.log, "wait")
	case Dial:
		s.under = append(s.under, a.Backend)
		s.log = append(s.log, "dial")
	case Enqueue:
		s.log = append(s.log, fmt.Sprintf("enqueue %v", a.After))
	case GiveUp:
		s.log = append(s.log, "give up")
	}
}

// oldest takes the attempt that has been under way for longest.
func (s *script) oldest() *backend.Backend {
	b := s.under[0]
	s.under = s.under[1:]
	return b
}

func (s *script) failed(err error) {
	s.did(s.plan.Failed(s.now, s.oldest(), err, time.Millisecond, false))
}

// want compares what has been done, separated by commas.
func (s *script) want(want string) {
	s.t.Helper()
	if got := strings.Join(s.log, ", "); got != want {
		s.t.Fatalf("unexpected actions; got %q; want %q", got, want)
	}
}

// wantSlots expects the slots that are taken to be those of the attempts under
// way, and of kept.
func (s *script) wantSlots(kept ...*backend.Backend) {
	s.t.Helper()
	for _, b := range s.terms.Balancer.Pool().Snapshot().All {
		want := int64(0)
		for _, x := range slices.Concat(s.under, kept) {
			if x == b {
				want++
			}
		}
		if b.Active() != want {
			s.t.Fatalf("unexpected slots of %s; got %d; want %d", b.Addr(), b.Active(), want)
		}
	}
}

// TestFailures has attempts fail one after the other.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name     string
		backends int
		change   func(*Terms)
		err      error
		failures int
		want     string
		found    Found
	}{
		{"none", 0, rich, nil, 0, "give up", Nobody},
		{"one", 1, rich, syscall.ETIMEDOUT, 1, "dial, give up", Unreachable},
		{"several", 5, rich, syscall.ETIMEDOUT, 3, "dial, dial, dial, give up", Unreachable},
		{"budget spent", 5, nil, syscall.ETIMEDOUT, 1, "dial, give up", Unreachable},
		{"no retries", 5, func(t *Terms) { rich(t); t.Retries = 0 }, syscall.ETIMEDOUT, 1, "dial, give up", Unreachable},
		{"refusals that count", 5, rich, syscall.ECONNREFUSED, 3, "dial, dial, dial, give up", Unreachable},
		{"refusals that do not", 5, func(t *Terms) { t.Lenient = true }, syscall.ECONNREFUSED, 5, "dial, dial, dial, dial, dial, give up", Unreachable},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t, x.backends, x.change)
			s.did(s.plan.Begin(0))
			for range x.failures {
				s.wantSlots()
				s.failed(x.err)
			}
			s.want(x.want)
			s.wantSlots()
			if got := s.plan.Found(); got != x.found {
				t.Fatalf("unexpected reason; got %d; want %d", got, x.found)
			}
			if got := s.terms.Counters.Failures.Get(); got != uint64(x.failures) {
				t.Fatalf("unexpected failures counted; got %d; want %d", got, x.failures)
			}
			if _, err := s.plan.Err(); !errors.Is(err, x.err) {
				t.Fatalf("unexpected error %v; want %v", err, x.err)
			}
		})
	}
}

// TestHedge has a backend that does not answer in time.
func TestHedge(t *testing.T) {
	t.Parallel()
	s := newScript(t, 4, rich)
	s.did(s.plan.Begin(0))
	s.did(s.plan.Slow())
	s.did(s.plan.Slow()) // there is a rival already
	s.want("dial, dial, wait")
	s.failed(syscall.ETIMEDOUT) // the rival goes on, and gets one of its own
	s.did(s.plan.Slow())
	s.want("dial, dial, wait, wait, dial")
	if s.plan.Running() != 2 || s.terms.Counters.Hedges.Get() != 2 || s.terms.Counters.Retries.Get() != 2 {
		t.Fatalf("unexpected counts: %d under way", s.plan.Running())
	}
	won, lost := s.under[1], s.under[0]
	s.plan.Connected()
	s.plan.Lost(lost, time.Second)
	s.under = nil
	s.wantSlots(won)
	select {
	case <-lost.Suspected():
	default:
		t.Fatal("nobody is to look into the slow backend")
	}
	if s.plan.Retried() != 2 || s.plan.Plain() || s.plan.Running() != 0 {
		t.Fatalf("unexpected account: %d retried, plain %v", s.plan.Retried(), s.plan.Plain())
	}
}

// TestHedgeOfNobody has no rival to try.
func TestHedgeOfNobody(t *testing.T) {
	t.Parallel()
	s := newScript(t, 1, rich)
	s.did(s.plan.Begin(0))
	if a := s.plan.Slow(); a != (Action{}) {
		t.Fatalf("unexpected action %+v", a)
	}
	s.plan.Connected()
	if !s.plan.Plain() {
		t.Fatal("unexpected: there is something to tell")
	}
}

// TestOverdue ends a plan with two attempts under way.
func TestOverdue(t *testing.T) {
	t.Parallel()
	s := newScript(t, 4, rich)
	s.did(s.plan.Begin(0))
	s.did(s.plan.Slow())
	s.did(s.plan.Overdue())
	s.failed(os.ErrDeadlineExceeded)
	s.failed(os.ErrDeadlineExceeded)
	s.want("dial, dial, wait, wait, give up")
	s.wantSlots()
}

// TestSlots waits for a slot, in vain once, and gets one.
func TestSlots(t *testing.T) {
	t.Parallel()
	s := newScript(t, 1, nil)
	pool := s.terms.Balancer.Pool()
	pool.Limit(1, 2)
	b := pool.Snapshot().All[0]
	if !b.TryAcquire() {
		t.Fatal("no slot")
	}
	s.did(s.plan.Begin(0))
	s.want("enqueue 10s")
	second := newScript(t, 0, nil)
	second.terms = s.terms
	second.plan = New(s.terms, second, 0)
	second.did(second.plan.Begin(0))
	second.want("enqueue 10s")
	third := New(s.terms, second, 0)
	if a := third.Begin(0); a.Do != GiveUp || third.Found() != NoSlot {
		t.Fatalf("unexpected action with a full queue: %+v", a)
	}

	b.Release()
	if s.woken != 1 || second.woken != 0 {
		t.Fatalf("unexpected wakes: %d and %d; want the first alone", s.woken, second.woken)
	}
	if !b.TryAcquire() { // somebody else was faster
		t.Fatal("no slot")
	}
	s.now = int64(4 * time.Second)
	s.did(s.plan.Woken(s.now))
	s.want("enqueue 10s, enqueue 6s")
	b.Release()
	s.did(s.plan.Woken(s.now))
	s.did(s.plan.Woken(s.now)) // once is enough
	s.want("enqueue 10s, enqueue 6s, dial, wait")
	s.plan.Connected()
	s.oldest().Release()
	if second.woken != 1 {
		t.Fatalf("unexpected wakes of the second: %d", second.woken)
	}
	second.plan.Leave() // it is gone
	if n := pool.Waiting(); n != 0 || pool.Contended() || b.Active() != 0 {
		t.Fatalf("unexpected rest: %d wait, contended %v, %d slots", n, pool.Contended(), b.Active())
	}
}

// TestQueueTimeout waits for too long altogether.
func TestQueueTimeout(t *testing.T) {
	t.Parallel()
	s := newScript(t, 1, nil)
	pool := s.terms.Balancer.Pool()
	pool.Limit(1, 2)
	pool.Snapshot().All[0].TryAcquire()
	s.did(s.plan.Begin(0))
	pool.WakeNext()
	s.did(s.plan.Woken(int64(10 * time.Second)))
	s.want("enqueue 10s, give up")
	if s.plan.Found() != NoSlot {
		t.Fatalf("unexpected reason %d", s.plan.Found())
	}
}

// TestFairness has somebody come while others wait: it waits, though a slot is
// free.
func TestFairness(t *testing.T) {
	t.Parallel()
	s := newScript(t, 1, nil)
	pool := s.terms.Balancer.Pool()
	pool.Limit(1, 2)
	b := pool.Snapshot().All[0]
	b.TryAcquire()
	s.did(s.plan.Begin(0))
	b.Release() // s is woken, and has not answered
	late := New(s.terms, newScript(t, 0, nil), 0)
	if a := late.Begin(0); a.Do != Enqueue {
		t.Fatalf("unexpected action of who comes late: %+v", a)
	}
	s.did(s.plan.Woken(0))
	s.want("enqueue 10s, dial")
	late.Leave()
}

// TestOwnFaults blames nobody for what is this machine's, and for time-outs while
// it did not run.
func TestOwnFaults(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		err    error
		paused Pause
		want   int
	}{
		{syscall.ECONNREFUSED, false, 1}, {syscall.ECONNREFUSED, true, 1}, {os.ErrDeadlineExceeded, false, 1},
		{os.ErrDeadlineExceeded, true, 0}, {syscall.EMFILE, false, 0}, {syscall.EADDRNOTAVAIL, false, 0},
	} {
		s := newScript(t, 1, nil)
		s.did(s.plan.Begin(0))
		b := s.oldest()
		s.did(s.plan.Failed(0, b, x.err, time.Millisecond, x.paused))
		if got := b.Streak().Connects; got != x.want {
			t.Errorf("unexpected failures held against a backend for %v, paused %v: %d; want %d", x.err, x.paused, got, x.want)
		}
	}
}
