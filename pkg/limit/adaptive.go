package limit

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// roundTime and roundSamples are the least of a round. Envoy's adaptive
	// concurrency decides every 100 ms too; Netflix's wants 10 samples.
	roundTime    = 100 * time.Millisecond
	roundSamples = 10
	// startLimit is what a limit begins with, if that is between its bounds.
	startLimit = 64
	// tolerance is how many times the latency without a queue is taken for a
	// sign of one. With all requests alike, about that many are then in flight
	// for each that is worked on.
	tolerance = 2
	// baselineTime is after how long without a round as fast as the fastest
	// what is fast is found out anew.
	baselineTime = 30 * time.Second
	probeShare   = 0.25
	// A limit is lowered to the part that the latency asks for, within these.
	leastCut, mostCut = 0.9, 0.5
)

// adaptive looks for the largest number of requests in flight that does not
// make them queue. It is AIMD as TCP's congestion control (RFC 5681), on
// latency in place of loss, as Netflix's concurrency-limits and Envoy's adaptive
// concurrency filter do it:
//
//   - It works in rounds. A round ends once some time has passed and some
//     requests have been answered that also began in it, so that each decision
//     shows its effect before the next one is made.
//   - The round's median latency is compared with the baseline, the lowest
//     median of late. A median does not care how slow a few requests are.
//   - Up to the first sign of a queue the limit doubles with each round, later
//     it grows by its square root (Envoy's headroom), and only while at least
//     half of it is used.
//   - At a sign of a queue, what is in flight is cut in proportion to the
//     latency, by a tenth to a half.
//   - If no round was as fast as the baseline for 30 s, the next one is made at
//     a quarter of what was in flight (BBR's probing for the round trip time),
//     and what it takes becomes the baseline: the service has changed. The same
//     goes if there is still a queue at the lowest limit.
type adaptive struct {
	counts  [latencyBuckets]atomic.Uint32 // of this round
	samples atomic.Int64
	peak    atomic.Int64 // most in flight in this round
	epoch   time.Time
	began   atomic.Int64 // when the round did, ns since epoch

	// mu protects the field below, and the end of a round.
	mu    sync.Mutex
	state aimd
}

func newAdaptive(least, most int, now time.Time) *adaptive {
	return &adaptive{state: newAIMD(least, most), epoch: now}
}

// observe notes a request that was answered and returns the new limit if a
// round ends with it, else 0.
func (a *adaptive) observe(inFlight int64, began time.Time, latency time.Duration, now time.Time) (limit int64) {
	for {
		peak := a.peak.Load()
		if inFlight <= peak || a.peak.CompareAndSwap(peak, inFlight) {
			break
		}
	}
	start, at := a.began.Load(), int64(now.Sub(a.epoch))
	if at < start-int64(clockSlack) { // the clock was put back: the round begins anew
		a.began.CompareAndSwap(start, at)
		return 0
	}
	if int64(began.Sub(a.epoch)) < start {
		return 0
	}
	a.counts[latencyBucket(latency)].Add(1)
	if a.samples.Add(1) < roundSamples || at-start < int64(roundTime) || !a.mu.TryLock() {
		return 0
	}
	defer a.mu.Unlock()
	if a.began.Load() != start {
		return 0 // somebody else has ended it
	}
	a.state.next(round{median: a.median(), peak: a.peak.Load(), now: now})
	// What is noted meanwhile may count for either round, or get lost.
	for i := range a.counts {
		a.counts[i].Store(0)
	}
	a.samples.Store(0)
	a.peak.Store(0)
	a.began.Store(at)
	return int64(a.state.limit)
}

func (a *adaptive) median() time.Duration {
	var all uint64
	for i := range a.counts {
		all += uint64(a.counts[i].Load())
	}
	var sum uint64
	for i := range a.counts {
		if sum += uint64(a.counts[i].Load()); 2*sum >= all {
			return latencyOf(i)
		}
	}
	return latencyOf(len(a.counts) - 1)
}

// Latencies are counted in buckets of 16 µs up to 128 µs, and of an eighth of a
// power of two beyond, to some 10 minutes.
const (
	latencyUnit    = 16 * time.Microsecond
	latencyBuckets = 192
)

func latencyBucket(d time.Duration) int {
	n := uint64(max(0, d/latencyUnit))
	e := max(0, bits.Len64(n)-4)
	return min(8*e+int(n>>e), latencyBuckets-1)
}

// latencyOf returns the middle of a bucket.
func latencyOf(bucket int) time.Duration {
	e := max(0, bucket/8-1)
	return time.Duration((2*(bucket-8*e)+1)<<e) * latencyUnit / 2
}

// aimd is what adaptive decides by, without its counters.
type aimd struct {
	least, most float64
	limit       float64
	searching   bool // no sign of a queue was seen yet
	baseline    time.Duration
	confirmed   time.Time // when a round was last as fast
	probing     bool
	kept        float64 // the limit to go on with after probing
}

// round is what one round showed.
type round struct {
	median time.Duration
	peak   int64 // most requests in flight at once
	now    time.Time
}

func newAIMD(least, most int) aimd {
	return aimd{
		least: float64(least), most: float64(max(least, most)),
		limit: float64(min(max(least, startLimit), max(least, most))), searching: true,
	}
}

// next sets the limit of the round that follows r.
func (s *aimd) next(r round) {
	if s.probing {
		s.probing, s.limit = false, s.kept
		s.baseline, s.confirmed = r.median, r.now
		return
	}
	// A tenth more is within what buckets and chance make of the same.
	if s.baseline == 0 || r.median <= s.baseline+s.baseline/10 {
		s.confirmed = r.now
		if s.baseline == 0 || r.median < s.baseline {
			s.baseline = r.median
		}
	}
	used := float64(r.peak)
	slow := float64(r.median) / float64(s.baseline)
	switch {
	case slow > tolerance && s.limit == s.least && used >= s.least:
		s.searching = false
		s.baseline, s.confirmed = r.median, r.now
	case slow > tolerance && used > s.least:
		s.searching = false
		s.limit = min(s.limit, used) * min(max(tolerance/slow, mostCut), leastCut)
	case slow <= tolerance && s.searching && 2*used >= s.limit:
		s.limit *= 2
	case slow <= tolerance && 2*used >= s.limit:
		s.limit += math.Sqrt(s.limit)
	}
	s.limit = min(max(s.limit, s.least), s.most)
	if r.now.Sub(s.confirmed) >= baselineTime {
		s.probing, s.kept = true, s.limit
		s.limit = max(s.least, probeShare*min(s.limit, used))
	}
}
