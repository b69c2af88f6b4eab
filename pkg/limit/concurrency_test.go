package limit

import (
	"container/heap"
	"math"
	"sync"
	"testing"
	"time"
)

func TestConcurrencyFixed(t *testing.T) {
	t.Parallel()
	c := NewConcurrency(2)
	f := func(enter bool) {
		t.Helper()
		if got := c.Enter(); got != enter {
			t.Fatalf("unexpected answer with %d in flight; got %v; want %v", int(c.inFlight.Load()), got, enter)
		}
	}
	now := time.Unix(1000, 0)
	f(true)
	f(true)
	f(false)
	f(false)
	c.Leave(now, time.Second, now)
	f(true)
	f(false)
	if int(c.inFlight.Load()) != 2 || c.Limit() != 2 {
		t.Fatalf("unexpected numbers; got %d of %d; want 2 of 2", int(c.inFlight.Load()), c.Limit())
	}
	c.Leave(now, time.Second, now)
	c.Leave(now, 0, now)
	defer func() {
		if recover() == nil {
			t.Fatal("unexpected silence about one that left twice")
		}
	}()
	c.Leave(now, 0, now)
}

func TestConcurrencyConcurrently(t *testing.T) {
	t.Parallel()
	c := NewAdaptive(1, 8, time.Now())
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 5000 {
				if !c.Enter() {
					continue
				}
				if n := int(c.inFlight.Load()); n > 8+16 { // those that are about to be refused are counted for a moment
					t.Errorf("unexpected number in flight; got %d", n)
				}
				now := time.Now()
				c.Leave(now.Add(-time.Millisecond), time.Millisecond, now)
			}
		})
	}
	wg.Wait()
	if int(c.inFlight.Load()) != 0 || c.Limit() < 1 || c.Limit() > 8 {
		t.Fatalf("unexpected numbers; got %d of %d; want 0 of 1 to 8", int(c.inFlight.Load()), c.Limit())
	}
}

func TestLatencyBuckets(t *testing.T) {
	t.Parallel()
	last := -1
	for d := time.Duration(0); d < 20*time.Minute; d += max(d/50, time.Microsecond) {
		b := latencyBucket(d)
		if b < last || b > last+1 {
			t.Fatalf("unexpected bucket of %v; got %d after %d", d, b, last)
		}
		last = b
		if d < 5*time.Minute {
			if off := math.Abs(float64(latencyOf(b) - d)); off > max(float64(latencyUnit), float64(d)/14) {
				t.Fatalf("unexpected middle of the bucket of %v: %v", d, latencyOf(b))
			}
		}
	}
	if last != latencyBuckets-1 {
		t.Fatalf("unexpected last bucket; got %d", last)
	}
}

func TestAIMD(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	type step struct {
		median time.Duration
		peak   int64
		after  time.Duration
		want   int
	}
	f := func(what string, least, most int, steps ...step) {
		t.Helper()
		s := newAIMD(least, most)
		now := time.Unix(1000, 0)
		for i, x := range steps {
			now = now.Add(x.after)
			s.next(round{median: x.median, peak: x.peak, now: now})
			if got := int(s.limit); got != x.want {
				t.Fatalf("%s: unexpected limit after round %d; got %d; want %d", what, i, got, x.want)
			}
		}
	}
	f("it doubles while it is used and nothing queues", 4, 1000,
		step{10 * ms, 64, 0, 128}, step{10 * ms, 100, 0, 256}, step{10 * ms, 100, 0, 256}, step{19 * ms, 128, 0, 512}, step{10 * ms, 500, 0, 1000}, step{10 * ms, 1000, 0, 1000})
	f("a queue cuts what is in flight by its length, half at most", 4, 1000,
		step{10 * ms, 64, 0, 128}, step{25 * ms, 100, 0, 80}, step{100 * ms, 80, 0, 40}, step{21 * ms, 40, 0, 36})
	f("after a cut it grows by its square root", 4, 1000,
		step{10 * ms, 64, 0, 128}, step{50 * ms, 128, 0, 64}, step{10 * ms, 64, 0, 72}, step{10 * ms, 30, 0, 72}, step{10 * ms, 36, 0, 80})
	f("what is slow with next to nothing in flight is not a queue", 4, 1000,
		step{10 * ms, 2, 0, 64}, step{100 * ms, 4, 0, 64}, step{100 * ms, 5, 0, 4})
	f("what takes as long at the least limit is the new baseline", 10, 1000,
		step{10 * ms, 64, 0, 128}, step{100 * ms, 20, 0, 10}, step{40 * ms, 10, 0, 10}, step{50 * ms, 10, 0, 13})
	f("a baseline that is not seen again is looked for", 4, 1000,
		step{10 * ms, 64, 0, 128},
		step{18 * ms, 100, 29 * time.Second, 256},
		step{18 * ms, 100, time.Second, 25}, // a quarter
		step{18 * ms, 25, 0, 256},           // that is what it takes now
		step{35 * ms, 200, 0, 512},
		step{37 * ms, 200, 0, 180})
	f("one that is seen is not", 4, 1000,
		step{10 * ms, 64, 0, 128}, step{11 * ms, 10, 29 * time.Second, 128}, step{15 * ms, 10, 29 * time.Second, 128})
	f("bounds hold", 100, 50, step{10 * ms, 100, 0, 100}, step{900 * ms, 100, 0, 100})
}

// TestAdaptiveFollowsCapacity runs a service that works on so many requests at
// once and queues the rest, under three times the load that it can take.
func TestAdaptiveFollowsCapacity(t *testing.T) {
	t.Parallel()
	s := newSimulation(NewAdaptive(4, 10_000, time.Unix(1000, 0)))
	s.workers, s.service = 20, 10*time.Millisecond // 2,000 a second
	phase := func(what string, d time.Duration, perSecond float64, settle time.Duration, goodput float64, slowest time.Duration) {
		t.Helper()
		s.run(settle, perSecond)
		s.done, s.refused, s.slowest = 0, 0, 0
		s.run(d, perSecond)
		if got := float64(s.done) / d.Seconds(); got < goodput {
			t.Errorf("%s: unexpected goodput; got %.0f/s; want %.0f or more (limit %d, %d refused)", what, got, goodput, s.c.Limit(), s.refused)
		}
		if s.slowest > slowest {
			t.Errorf("%s: unexpected latency; got %v; want %v at most (limit %d)", what, s.slowest, slowest, s.c.Limit())
		}
		t.Logf("%s: limit %d, %d done, %d refused, slowest %v", what, s.c.Limit(), s.done, s.refused, s.slowest)
	}
	const ms = time.Millisecond
	phase("light load", 5*time.Second, 500, 0, 480, 11*ms)
	phase("three times the capacity", time.Minute, 6000, 2*time.Second, 0.95*2000, 45*ms)
	s.workers = 100
	phase("more workers", 30*time.Second, 6000, 10*time.Second, 0.97*6000, 45*ms)
	s.workers = 10
	phase("few workers", time.Minute, 6000, 5*time.Second, 0.93*1000, 60*ms)
	s.service = 50 * ms // for good
	phase("slower requests", time.Minute, 6000, 40*time.Second, 0.9*200, 300*ms)
	s.service = 10 * ms
	phase("fast again", time.Minute, 900, 5*time.Second, 0.97*900, 60*ms)
}

// simulation is a service with workers and a queue, behind c, in virtual time.
type simulation struct {
	c       *Concurrency
	now     time.Time
	workers int
	service time.Duration

	next    time.Time
	queue   []time.Time // when those that wait had come
	working ends

	done, refused int
	slowest       time.Duration
}

type end struct{ began, at time.Time }

type ends []end

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(end)) }
func (e *ends) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

func newSimulation(c *Concurrency) *simulation { return &simulation{c: c, now: time.Unix(1000, 0)} }

func (s *simulation) run(d time.Duration, perSecond float64) {
	until := s.now.Add(d)
	gap := time.Duration(float64(time.Second) / perSecond)
	s.next = s.now.Add(gap)
	for {
		for len(s.working) < s.workers && len(s.queue) > 0 {
			heap.Push(&s.working, end{s.queue[0], s.now.Add(s.service)})
			s.queue = s.queue[1:]
		}
		if len(s.working) > 0 && s.working[0].at.Before(s.next) {
			if s.working[0].at.After(until) {
				break
			}
			e := heap.Pop(&s.working).(end)
			s.now = e.at
			latency := s.now.Sub(e.began)
			s.slowest = max(s.slowest, latency)
			s.done++
			s.c.Leave(e.began, latency, s.now)
			continue
		}
		if s.next.After(until) {
			break
		}
		s.now, s.next = s.next, s.next.Add(gap)
		if s.c.Enter() {
			s.queue = append(s.queue, s.now)
		} else {
			s.refused++
		}
	}
	s.now = until
}
