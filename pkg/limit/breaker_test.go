package limit

import (
	"sync"
	"testing"
	"time"
)

// TestBreaker plays literal sequences: "+" and "-" are requests that succeed
// and fail, "x" one that must be refused, "(" a trial that begins, ")" and "!"
// and "?" the oldest trial that ends well, badly and without an outcome, "." a
// second that passes, and "C", "O" and "H" the state as it must be.
func TestBreaker(t *testing.T) {
	t.Parallel()
	f := func(what, sequence string) {
		t.Helper()
		b := NewBreaker(BreakerConfig{FailureShare: 0.5, MinRequests: 4, Window: 10 * time.Second, OpenTime: 2 * time.Second, MaxOpenTime: 5 * time.Second, Trials: 2})
		now := time.Unix(1000, 0)
		var trials []Permit
		for i, c := range sequence {
			fail := func(got any) {
				t.Helper()
				t.Fatalf("%s: unexpected at %q: %v", what, sequence[:i+1], got)
			}
			switch c {
			case '+', '-':
				p := b.Allow(now)
				if p == 0 || p.Trial() {
					fail(p)
				}
				b.Done(p, map[rune]Outcome{'+': Success, '-': Failure}[c], now)
			case 'x':
				if p := b.Allow(now); p != 0 {
					fail(p)
				}
			case '(':
				p := b.Allow(now)
				if !p.Trial() {
					fail(p)
				}
				trials = append(trials, p)
			case ')', '!', '?':
				b.Done(trials[0], map[rune]Outcome{')': Success, '!': Failure, '?': NoOutcome}[c], now)
				trials = trials[1:]
			case '.':
				now = now.Add(time.Second)
			case 'C', 'O', 'H':
				if got := b.State(); got != map[rune]BreakerState{'C': Closed, 'O': Open, 'H': HalfOpen}[c] {
					fail(got)
				}
			}
		}
	}
	f("it opens at the share of failures", "++--O")
	f("but not below it", "+++--C+-C-O")
	f("nor on too few requests", "---C-O")
	f("a window slides", "---.........C+C")
	f("what is out of the window does not count", "---..........-C")
	f("what is in it does", "---........-O")
	f("while open nothing passes", "----Ox.x.(H(x")
	f("trials are bounded, and so many must succeed", "----..((x)xH)C+")
	f("one at a time", "----..()H()C")
	f("a failed trial opens it for twice as long", "----..(!Ox...x.(H!O.x....(H!O.x....(")
	f("and a second one that runs on says nothing", "----..((!O)O....((H)H)C")
	f("even if it fails", "----..((!O....((H!H!O")
	f("a trial without an outcome makes room for another", "----..((x?(x)H)C")
	f("after it has closed, it begins anew", "----..()()C---C-O.x.(")
	f("and opens for as short as at first", "----..(!....()()C----O.x.(")
}

// TestBreakerLateTrial has a trial end after others have decided.
func TestBreakerLateTrial(t *testing.T) {
	t.Parallel()
	b := NewBreaker(BreakerConfig{MinRequests: 1, Trials: 2, OpenTime: time.Second})
	now := time.Unix(1000, 0)
	b.Done(b.Allow(now), Failure, now)
	now = now.Add(time.Second)
	late := b.Allow(now)
	b.Done(b.Allow(now), Failure, now)
	now = now.Add(2 * time.Second)
	first, second := b.Allow(now), b.Allow(now)
	b.Done(late, Failure, now)
	if b.State() != HalfOpen || b.Allow(now) != 0 {
		t.Fatalf("unexpected effect of a late trial: %v", b.State())
	}
	b.Done(first, Success, now)
	b.Done(second, Success, now)
	b.Done(late, Failure, now)
	if b.State() != Closed || b.Openings() != 2 {
		t.Fatalf("unexpected state; got %v after %d openings; want closed after 2", b.State(), b.Openings())
	}
}

func TestBreakerWindowSaturates(t *testing.T) {
	t.Parallel()
	b := NewBreaker(BreakerConfig{FailureShare: 0.5})
	now := time.Unix(1000, 0)
	for range 300_000 { // a third fails
		for _, o := range []Outcome{Success, Failure, Success} {
			b.Done(b.Allow(now), o, now)
		}
	}
	good, bad := b.window.sum(now)
	if share := float64(bad) / float64(good+bad); b.State() != Closed || share < 0.3 || share > 0.36 {
		t.Fatalf("unexpected share of failures: %v, %v", share, b.State())
	}
}

func TestBreakerConcurrently(t *testing.T) {
	t.Parallel()
	b := NewBreaker(BreakerConfig{OpenTime: time.Nanosecond, Trials: 2})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				now := time.Now()
				if p := b.Allow(now); p != 0 {
					b.Done(p, Outcome(1+(g+i/100)%2), now)
				}
			}
		})
	}
	wg.Wait()
	// Nothing is under way, so that it can always be closed again.
	for range 100 {
		now := time.Now().Add(time.Hour)
		if p := b.Allow(now); p != 0 {
			b.Done(p, Success, now)
		}
	}
	if b.State() != Closed || b.Openings() == 0 {
		t.Fatalf("unexpected state; got %v after %d openings; want closed after some", b.State(), b.Openings())
	}
}
