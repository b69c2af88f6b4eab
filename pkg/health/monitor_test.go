package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/backend"
)

// script is a Check whose results a test sets; it notes when it was asked.
type script struct {
	mu     sync.Mutex
	err    error
	result Result
	times  []time.Time
}

func (s *script) Probe(context.Context, string) (Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, time.Now())
	if s.err != nil {
		return Result{}, s.err
	}
	return s.result, nil
}

func (s *script) String() string { return "scripted check" }

func (s *script) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.times = err, nil
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

// follow starts a monitor of one backend in a synctest bubble.
func follow(t *testing.T, cfg Config) (*backend.Backend, *Monitor, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m := NewMonitor(cfg)
	p := backend.NewPool("web")
	added, removed := p.Set([]backend.Target{{ID: "1", Address: "10.0.0.1:80", Weight: 1}})
	m.Follow(added, removed)
	t.Cleanup(m.Close)
	return added[0], m, &log
}

func TestMonitorWalk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		b, _, log := follow(t, Config{Check: check, FastInterval: 100 * time.Millisecond})
		state := func(after time.Duration, want backend.State) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := b.State(); got != want {
				t.Fatalf("unexpected state after %v; got %v; want %v", after, got, want)
			}
		}
		if b.State() != backend.Unknown {
			t.Fatalf("unexpected state at the start: %v", b.State())
		}
		state(2*time.Second, backend.Up) // the first check comes within the interval

		// A failure is noticed within an interval and its jitter, and confirmed
		// by two more a fast interval apart.
		check.set(errors.New("refused"))
		for check.count() == 0 {
			state(10*time.Millisecond, backend.Up)
		}
		state(150*time.Millisecond, backend.Up)
		state(100*time.Millisecond, backend.Down)
		if c := b.Condition(); c.Streak != 3 || c.Signal != "scripted check" || c.Detail != "refused" {
			t.Fatalf("unexpected condition: %+v", c)
		}

		// And back: two passes.
		check.set(nil)
		for check.count() == 0 {
			state(10*time.Millisecond, backend.Down)
		}
		state(110*time.Millisecond, backend.Up)
		if n := strings.Count(log.String(), "backend state changed"); n != 3 {
			t.Fatalf("unexpected number of log lines; got %d; want one for each of 3 transitions:\n%s", n, log)
		}
		if b.Counters.ChecksFailed.Load() != 3 || b.Counters.WentDown.Load() != 1 || b.Counters.WentUp.Load() != 2 {
			t.Fatalf("unexpected counters: %d failed", b.Counters.ChecksFailed.Load())
		}
	})
}

// TestMonitorFlaps lets a backend change its mind at every period for a
// minute, under traffic that reports each failed connect, and counts.
func TestMonitorFlaps(t *testing.T) {
	t.Parallel()
	f := func(half time.Duration, most uint64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			check := &script{}
			b, _, _ := follow(t, Config{Check: check, DownInterval: time.Second})
			time.Sleep(3 * time.Second)
			for start := time.Now(); time.Since(start) < time.Minute; {
				check.set(errors.New("refused"))
				for range 10 {
					if ok, _ := b.Eligible(); ok {
						b.ReportConnectFailure()
					}
					time.Sleep(half / 10)
				}
				check.set(nil)
				time.Sleep(half)
			}
			n := b.Counters.WentUp.Load() + b.Counters.WentDown.Load()
			if t.Logf("half a period of %v: %d transitions", half, n); n > most {
				t.Fatalf("unexpected transitions of a backend that changes every %v for a minute; got %d; want at most %d", half, n, most)
			}
			// Once it is steady, it is back within the bound that damping has.
			time.Sleep(70 * time.Second)
			if b.State() != backend.Up {
				t.Fatalf("unexpected state 70 s after the end of the flapping: %v", b.State())
			}
		})
	}
	f(10*time.Millisecond, 8)
	f(50*time.Millisecond, 8)
	f(150*time.Millisecond, 8)
	f(300*time.Millisecond, 8)
	f(time.Second, 10)
	f(2*time.Second, 14)
	f(5*time.Second, 14)
}

// TestMonitorEjects walks a backend of three through ejections by live traffic:
// those that time ends, and those that checks do.
func TestMonitorEjects(t *testing.T) {
	t.Parallel()
	f := func(check Check, report func(p *backend.Pool, b *backend.Backend), want ...time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			m := NewMonitor(Config{Check: check, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			defer m.Close()
			p := backend.NewPool("web")
			p.SetPolicy(backend.Policy{MaxEjection: 50})
			added, removed := p.Set([]backend.Target{
				{ID: "1", Address: "10.0.0.1:80", Weight: 1}, {ID: "2", Address: "10.0.0.2:80", Weight: 1}, {ID: "3", Address: "10.0.0.3:80", Weight: 1},
			})
			m.Follow(added, removed)
			b := added[0]
			time.Sleep(time.Minute)
			for i, want := range want {
				accuse(p, b)
				for range 5 {
					if len(p.Snapshot().Eligible) != 3 {
						t.Fatalf("unexpected ejection %d before its time", i+1)
					}
					report(p, b)
				}
				synctest.Wait()
				if ok, why := b.Eligible(); ok || len(p.Snapshot().Eligible) != 2 {
					t.Fatalf("unexpected eligibility after 5 failures: %v, %q", ok, why)
				}
				start := time.Now()
				for len(p.Snapshot().Eligible) == 2 && time.Since(start) < time.Hour {
					time.Sleep(10 * time.Millisecond)
				}
				if got := time.Since(start); got < want || got > want+want/10+80*time.Millisecond {
					t.Fatalf("unexpected length of ejection %d; got %v; want %v", i+1, got, want)
				}
				time.Sleep(time.Second)
			}
			synctest.Wait()
			if e, r := strings.Count(log.String(), "backend ejected"), strings.Count(log.String(), "backend readmitted"); e != len(want) || r != len(want) {
				t.Fatalf("unexpected log, %d and %d lines of %d:\n%s", e, r, len(want), log.String())
			}
			// While it is out already, it is not ejected.
			accuse(p, b)
			for range 5 {
				report(p, b)
			}
			synctest.Wait()
			before := b.Counters.Ejected.Load()
			for range 50 {
				report(p, b)
				synctest.Wait()
			}
			if got := b.Counters.Ejected.Load(); got != before {
				t.Fatalf("unexpected ejections during one; got %d", got-before)
			}
		})
	}
	clients := 0
	fault := func(p *backend.Pool, b *backend.Backend) { clients++; failOnce(p, b, clients) }
	connect := func(_ *backend.Pool, b *backend.Backend) { b.ReportConnectFailure() }
	f(nil, fault, 30*time.Second, 60*time.Second, 90*time.Second)
	f(nil, connect, 30*time.Second, 60*time.Second)
	f(&script{}, fault, 30*time.Second, 60*time.Second)
	f(&script{}, connect, 30*time.Second) // it tests nothing
	f(&script{result: Result{Tested: Connect}}, fault, 30*time.Second, 60*time.Second)
	// The first check comes at once or a fast interval later, the others a fast
	// interval apart.
	f(&script{result: Result{Tested: Answer}}, fault, 30*time.Millisecond, 210*time.Millisecond)
	f(&script{result: Result{Tested: Connect}}, connect, 30*time.Millisecond, 210*time.Millisecond, 930*time.Millisecond)
}

// TestMonitorEjectsWhoAnswersNobody has one of three backends, whose checks
// pass, take connections and give nothing, while the others answer; and then
// give something again.
func TestMonitorEjectsWhoAnswersNobody(t *testing.T) {
	t.Parallel()
	f := func(what string, tested Layer, clients int, othersAnswer, want bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			m := NewMonitor(Config{Check: &script{result: Result{Tested: tested}}, Logger: slog.New(slog.DiscardHandler)})
			defer m.Close()
			p := backend.NewPool("web")
			p.SetPolicy(backend.Policy{MaxEjection: 50})
			var targets []backend.Target
			for i := range 3 {
				targets = append(targets, backend.Target{ID: fmt.Sprint(i), Address: fmt.Sprintf("10.0.0.%d:80", i), Weight: 1})
			}
			m.Follow(p.Set(targets))
			bs := p.Snapshot().All
			second := func(answer bool) {
				for i := range 10 {
					for _, b := range bs {
						if b == bs[0] && !answer || b != bs[0] && !othersAnswer {
							b.ReportUnanswered(netip.AddrFrom4([4]byte{10, 0, 0, byte(i % clients)}))
						} else {
							b.Counters.BytesOut.Add(1)
						}
					}
					time.Sleep(100 * time.Millisecond)
				}
				synctest.Wait()
			}
			for range 5 {
				second(true)
			}
			second(false)
			second(false)
			if got := bs[0].Condition().Ejection.Active(); got != want {
				t.Fatalf("unexpected ejection, %s; got %v; want %v", what, got, want)
			}
			second(true)
			if e := bs[0].Condition().Ejection; e.Active() {
				t.Fatalf("unexpected ejection, %s, of a backend that answers again: %+v", what, e)
			}
		})
	}
	f("several clients", Connect, 3, true, true)
	f("one client", Connect, 1, true, false)
	f("all are alike", Connect, 3, false, false)
	f("its check is answered", Answer, 3, true, false)
}

// accuse has b fail clients of many networks, of which few share a bucket, but
// not in a row.
func accuse(p *backend.Pool, b *backend.Backend) {
	for n := range 12 {
		failOnce(p, b, 1000+n)
		failOnce(p, b, 1000+n)
		b.ReportServed(backend.Witness{Client: netip.AddrFrom4([4]byte{10, 0, byte((1000 + n) >> 8), byte(1000 + n)})})
	}
}

// failOnce has b fail a client, and all others serve it.
func failOnce(p *backend.Pool, b *backend.Backend, client int) {
	w := backend.Witness{Client: netip.AddrFrom4([4]byte{10, 0, byte(client >> 8), byte(client)})}
	for _, x := range p.Snapshot().All {
		if x != b {
			x.ReportServed(w) // first: the last fault has it judged
		}
	}
	b.ReportFault(w)
}

// TestSlowStart checks who starts slowly: whoever recovers, and whoever joins
// a warm pool; nobody at the start, and not those who replace all at once.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		m := NewMonitor(Config{Check: check, SlowStart: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)})
		defer m.Close()
		p := backend.NewPool("web")
		p.SetPolicy(backend.Policy{MaxEjection: 50})
		set := func(ids ...string) {
			var targets []backend.Target
			for _, id := range ids {
				targets = append(targets, backend.Target{ID: id, Address: fmt.Sprintf("10.0.0.1:%d", id[0]), Weight: 1})
			}
			m.Follow(p.Set(targets))
		}
		f := func(want string) {
			t.Helper()
			synctest.Wait()
			got := ""
			for _, b := range p.Snapshot().All {
				if b.Warming() {
					got += b.ID()
				}
			}
			if got != want {
				t.Fatalf("unexpected backends in slow start; got %q; want %q", got, want)
			}
		}
		set("a", "b")
		f("")
		time.Sleep(10 * time.Second)
		set("a", "b", "c") // the start is not over
		f("")
		time.Sleep(20 * time.Second)
		set("a", "b", "c", "d")
		f("d")
		time.Sleep(30 * time.Second)
		for _, b := range p.Snapshot().All {
			b.Warmth(b.Now())
		}
		f("")

		// A recovery, from being down and from an ejection.
		check.set(errors.New("refused"))
		time.Sleep(5 * time.Second)
		f("")
		check.set(nil)
		time.Sleep(5 * time.Second)
		f("abcd")
		time.Sleep(30 * time.Second)
		for _, b := range p.Snapshot().All {
			if w := b.Warmth(b.Now()); w != 1 {
				t.Fatalf("unexpected warmth after the slow start: %v", w)
			}
		}
		a := p.Snapshot().All[0]
		accuse(p, a)
		for i := range 5 {
			failOnce(p, a, i)
		}
		f("")
		time.Sleep(31 * time.Second)
		f("a")
		set("e", "f") // all at once
		f("")
	})
}

// TestMonitorWord lets a backend say by its checks how it wants to be used.
func TestMonitorWord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		b, _, log := follow(t, Config{Check: check})
		f := func(r Result, err error, wantEligible bool, want backend.Word) {
			t.Helper()
			check.mu.Lock()
			check.result, check.err = r, err
			check.mu.Unlock()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if ok, why := b.Eligible(); ok != wantEligible || b.Condition().Word != want {
				t.Fatalf("unexpected after %+v, %v; got %v, %q, %+v; want %v, %+v", r, err, ok, why, b.Condition().Word, wantEligible, want)
			}
		}
		drain, half := backend.Word{Drain: true}, backend.Word{Weight: 50}
		f(Result{Tested: Answer}, nil, true, backend.Word{})
		f(Result{Tested: Answer, Word: drain}, nil, false, drain)
		f(Result{Tested: Answer, Word: half}, nil, true, half)
		f(Result{Tested: Connect}, nil, true, half) // who did not answer said nothing
		f(Result{}, errors.New("refused"), false, half)
		f(Result{Tested: Answer, BadWord: "what"}, nil, true, backend.Word{})
		if n := strings.Count(log.String(), "says how to use it"); n != 3 {
			t.Fatalf("unexpected number of log lines; got %d; want 3:\n%s", n, log)
		}
		if n := strings.Count(log.String(), "cannot understand"); n != 1 {
			t.Fatalf("unexpected number of complaints; got %d; want 1:\n%s", n, log)
		}
	})
}

// TestMonitorConnectFailure checks that a failed connect leads to a check at
// once, and a storm of them to no more than one a fast interval.
func TestMonitorConnectFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		b, _, _ := follow(t, Config{Check: check, Interval: time.Hour, FastInterval: 100 * time.Millisecond, Fall: 3})
		time.Sleep(time.Hour)
		synctest.Wait()
		if b.State() != backend.Up {
			t.Fatalf("unexpected state: %v", b.State())
		}
		time.Sleep(time.Minute)
		check.set(errors.New("refused"))
		b.ReportConnectFailure()
		synctest.Wait()
		if n := check.count(); n != 1 {
			t.Fatalf("unexpected number of checks right after a failed connect; got %d; want 1", n)
		}
		for range 200 {
			b.ReportConnectFailure()
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := check.count(); n != 3 {
			t.Fatalf("unexpected number of checks in 200 ms of failed connects; got %d; want 3", n)
		}
		if b.State() != backend.Down {
			t.Fatalf("unexpected state 200 ms after the first failed connect: %v", b.State())
		}
	})
}

// TestMonitorStalls checks that a backend which live traffic gets nothing from
// is checked at once, and one that has nothing to do, or answers, is not.
func TestMonitorStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		b, _, _ := follow(t, Config{Check: check, Interval: 1e6 * time.Hour}) // no check by itself
		time.Sleep(stallPoll / 2)
		for range 100 { // answers
			b.Acquire()
			time.Sleep(10 * time.Millisecond)
			b.Counters.BytesOut.Add(1)
			b.Release()
		}
		time.Sleep(time.Minute) // and then idles with what it has
		synctest.Wait()
		if n := check.count(); n != 0 {
			t.Fatalf("unexpected checks of a backend that answers; got %d", n)
		}
		b.Acquire()
		time.Sleep(2 * stallPoll)
		synctest.Wait()
		if n := check.count(); n != 1 {
			t.Fatalf("unexpected checks of a backend that stalls; got %d; want 1", n)
		}
	})
}

// TestMonitorOwnFault checks that no backend is blamed for what this machine
// runs out of, and that checks then come no faster.
func TestMonitorOwnFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		b, _, _ := follow(t, Config{Check: check})
		time.Sleep(10 * time.Second)
		check.set(fmt.Errorf("dial: %w", syscall.EMFILE))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := check.count(); b.State() != backend.Up || b.Counters.ChecksFailed.Load() != 0 || n > 66 || n < 27 {
			t.Fatalf("unexpected state %v, %d failed checks, %d in a minute", b.State(), b.Counters.ChecksFailed.Load(), n)
		}
		check.set(errors.New("refused"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if b.State() != backend.Down {
			t.Fatalf("unexpected state after real failures: %v", b.State())
		}
	})
}

// TestMonitorPaused checks that checks which fail while the process does not run
// say nothing, that they are made again soon, and that refusals count all the
// same, as does what fails in pauses that never end.
func TestMonitorPaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		var paused atomic.Int64
		b, _, _ := follow(t, Config{Check: check, Paused: func(time.Time) time.Duration { return time.Duration(paused.Load()) }})
		time.Sleep(10 * time.Second)
		fail := func(err error, pause time.Duration, checks int, want backend.State) {
			t.Helper()
			paused.Store(int64(pause))
			check.set(err)
			before := check.count()
			for check.count() < before+checks {
				time.Sleep(time.Millisecond)
			}
			check.set(nil)
			paused.Store(0)
			synctest.Wait()
			if b.State() != want {
				t.Fatalf("unexpected state after %d times %v in pauses of %v; got %v; want %v", checks, err, pause, b.State(), want)
			}
			time.Sleep(10 * time.Second)
			if b.State() != backend.Up {
				t.Fatalf("unexpected state: %v", b.State())
			}
		}
		fail(context.DeadlineExceeded, time.Second, 5, backend.Up)
		fail(context.DeadlineExceeded, time.Millisecond, 3, backend.Down)
		fail(io.ErrUnexpectedEOF, 5*time.Second, maxVoids, backend.Up)
		fail(fmt.Errorf("dial: %w", syscall.ECONNREFUSED), 5*time.Second, 3, backend.Down)
		fail(context.DeadlineExceeded, time.Second, maxVoids+3, backend.Down)
	})
}

// slow is a Check that takes a while, or for ever.
type slow struct {
	takes  atomic.Int64 // ns; 0: until the context ends
	probes atomic.Int64
	most   atomic.Int64 // that ran at a time
	now    atomic.Int64
}

func (s *slow) Probe(ctx context.Context, _ string) (Result, error) {
	s.probes.Add(1)
	n := s.now.Add(1)
	defer s.now.Add(-1)
	s.most.Store(max(s.most.Load(), n))
	if d := time.Duration(s.takes.Load()); d > 0 {
		select {
		case <-time.After(d):
			return Result{Tested: Answer}, nil
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return Result{}, ctx.Err()
}

func (s *slow) String() string { return "slow check" }

// TestMonitorSlowChecks checks that a backend which answers nothing is out
// after little more than one timeout, not three; and that one which is slow is
// not asked more than it has to be.
func TestMonitorSlowChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &slow{}
		check.takes.Store(int64(time.Millisecond))
		b, m, _ := follow(t, Config{Check: check})
		time.Sleep(10 * time.Second)
		if n := check.most.Load(); b.State() != backend.Up || n != 1 {
			t.Fatalf("unexpected state %v, or %d checks at a time", b.State(), n)
		}
		check.takes.Store(int64(200 * time.Millisecond)) // not slow yet
		check.probes.Store(0)
		time.Sleep(60 * time.Second)
		if n := check.probes.Load(); b.State() != backend.Up || check.most.Load() != 1 || n > 33 {
			t.Fatalf("unexpected: %v, %d checks in a minute, %d at a time", b.State(), n, check.most.Load())
		}
		check.takes.Store(int64(270 * time.Millisecond)) // slow, and a rival begins
		time.Sleep(60 * time.Second)
		if b.State() != backend.Up || check.most.Load() != 2 || b.Counters.ChecksFailed.Load() != 0 {
			t.Fatalf("unexpected: %v, %d checks at a time, %d failed", b.State(), check.most.Load(), b.Counters.ChecksFailed.Load())
		}

		check.takes.Store(0)
		b.Suspect()
		begin := time.Now()
		for b.State() == backend.Up {
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(begin); d < time.Second || d > 1600*time.Millisecond {
			t.Fatalf("unexpected time until a black hole is out; got %v; want a timeout, a part of it, and two fast intervals", d)
		}
		if c := b.Condition(); c.Streak != 3 || check.most.Load() != 3 {
			t.Fatalf("unexpected streak %d, or %d checks at a time", c.Streak, check.most.Load())
		}
		check.probes.Store(0)
		time.Sleep(20 * time.Second)
		if n := check.probes.Load(); n > 11 { // each takes a second
			t.Fatalf("unexpected number of checks of a black hole in 20 s: %d", n)
		}
		check.takes.Store(int64(time.Millisecond))
		time.Sleep(10 * time.Second)
		if b.State() != backend.Up {
			t.Fatalf("unexpected state after the black hole: %v", b.State())
		}
		check.takes.Store(0)
		time.Sleep(2500 * time.Millisecond)
		m.Follow(nil, []*backend.Backend{b})
		if n := check.now.Load(); n != 0 {
			t.Fatalf("unexpected checks of a removed backend: %d", n)
		}
	})
}

func TestMonitorJitteredStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		m := NewMonitor(Config{Check: check, Logger: slog.New(slog.DiscardHandler)})
		defer m.Close()
		var targets []backend.Target
		for i := range 100 {
			targets = append(targets, backend.Target{ID: fmt.Sprint(i), Address: "10.0.0.1:1", Weight: 1})
		}
		start := time.Now()
		m.Follow(backend.NewPool("web").Set(targets))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		var early int
		for _, at := range check.times[:100] {
			if at.Sub(start) < time.Second {
				early++
			}
		}
		if early < 20 || early > 80 {
			t.Fatalf("unexpected spread of first checks; got %d of 100 in the first half of the interval", early)
		}
	})
}

func TestMonitorStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &script{}
		b, m, _ := follow(t, Config{Check: check})
		time.Sleep(time.Minute)
		m.Follow(nil, []*backend.Backend{b})
		check.set(nil)
		time.Sleep(time.Minute)
		if n := check.count(); n != 0 {
			t.Fatalf("unexpected checks of a removed backend: %d", n)
		}
		m.Close()
		m.Follow([]*backend.Backend{b}, nil)
		time.Sleep(time.Minute)
		if n := check.count(); n != 0 {
			t.Fatalf("unexpected checks after Close: %d", n)
		}
	})
}

func TestMonitorWithoutCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _, _ := follow(t, Config{})
		time.Sleep(time.Hour)
		if ok, why := b.Eligible(); !ok || b.State() != backend.Unchecked {
			t.Fatalf("unexpected: %v, %q", b.State(), why)
		}
	})
}

// serveNothing returns an address that refuses connections: a socket has it
// and does not listen, so that no other test can get it.
func serveNothing(t *testing.T) (addr string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
}

// TestProbe runs both checks against real servers.
func TestProbe(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/bad", http.StatusFound)
		case "/drain", "/drain-broken", "/half":
			w.Header().Set(WordHeader, map[string]string{"/half": "50%"}[r.URL.Path])
			if r.URL.Path != "/half" {
				w.Header().Set(WordHeader, "drain")
				w.WriteHeader(map[string]int{"/drain": 503, "/drain-broken": 500}[r.URL.Path])
			}
		case "/bad":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/hang":
			<-release
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	dead := serveNothing(t)

	f := func(spec, addr, want string) {
		t.Helper()
		check, err := ParseCheck(spec, Via{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if spec == "http:/hang" {
			ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
		}
		_, err = check.Probe(ctx, addr)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected result of %s at %s; got %v; want %q", spec, addr, err, want)
		}
	}
	live := s.Listener.Addr().String()
	f("tcp", live, "")
	f("tcp", dead, "refused")
	f("http:/", live, "")
	f("http:/redirect", live, "")
	f("http:/bad", live, "status 503")
	f("http:/hang", live, "deadline")
	f("http:/drain", live, "")
	f("http:/drain-broken", live, "status 500")
	word := func(path string, want backend.Word) {
		t.Helper()
		if r, err := newHTTPCheck(httpSpec{path: path, method: http.MethodGet, header: make(http.Header)}, Via{}).Probe(t.Context(), live); err != nil || r != (Result{Tested: Answer, Word: want}) {
			t.Fatalf("unexpected result of %s; got %+v, %v; want %+v", path, r, err, want)
		}
	}
	word("/", backend.Word{})
	word("/drain", backend.Word{Drain: true})
	word("/half", backend.Word{Weight: 50})
	f("http:/", dead, "refused")
	for _, spec := range []string{"", "ping", "http", "http:", "http:x"} {
		if _, err := ParseCheck(spec, Via{}); err == nil {
			t.Fatalf("unexpected success of %q", spec)
		}
	}
	if c, err := ParseCheck("none", Via{}); c != nil || err != nil {
		t.Fatalf("unexpected: %v, %v", c, err)
	}
}

func TestParseWord(t *testing.T) {
	t.Parallel()
	f := func(s string, want backend.Word, wantBad string) {
		t.Helper()
		if w, down, bad := parseWord(s); w != want || bad != wantBad || down != "" {
			t.Fatalf("unexpected word of %q; got %+v, %q; want %+v, %q", s, w, bad, want, wantBad)
		}
	}
	f("", backend.Word{}, "")
	f("ready", backend.Word{}, "")
	f("drain", backend.Word{Drain: true}, "")
	f("Drain", backend.Word{Drain: true}, "")
	f("0%", backend.Word{Drain: true}, "")
	f("1%", backend.Word{Weight: 1}, "")
	f("ready, 50%", backend.Word{Weight: 50}, "")
	f("drain 50%", backend.Word{Drain: true, Weight: 50}, "")
	f("100%", backend.Word{Weight: 100}, "")
	for _, bad := range []string{"101%", "-1%", "50", "50.5%", "%", "sick", "99999999999999999999%"} {
		f(bad, backend.Word{}, bad)
	}
	f("nonsense drain", backend.Word{Drain: true}, "nonsense drain")
	f("maint", backend.Word{Drain: true}, "")
	f("MAINT, 50%", backend.Word{Drain: true, Weight: 50}, "")
	f("up 75%", backend.Word{Weight: 75}, "")
	f("up # all is well", backend.Word{}, "")
	for s, want := range map[string]string{"down": "down", "Failed": "failed", "fail": "fail", "stopped#by hand": "stopped: by hand", "ready down # disk full": "down: disk full"} {
		if _, down, bad := parseWord(s); down != want || bad != "" {
			t.Fatalf("unexpected word of %q; got %q, bad %q; want %q", s, down, bad, want)
		}
	}
}
