package backend

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// decayTime is the time constant of all that is remembered of outcomes:
	// after it, 37 % is left. Finagle and Linkerd use the same.
	decayTime = 10_000 // ms
	// forgetTime is after how long without an outcome nothing is left, so that
	// an old estimate, which has all but decayed, does not look like a very
	// good one.
	forgetTime = 5 * decayTime
	// clockSlack is by how much a stamp may seem to lie in the future, because
	// another goroutine read the clock later and was faster.
	clockSlack = 1000 // ms

	// latencySamples is over how many samples a latency is averaged.
	latencySamples = 64
	// lateShare is the share that one sample has at most for coming late.
	lateShare = 1.0 / 8
	// outlier is how many times the latency a sample counts for at most.
	outlier = 4
	// latencyHeld is for how long a latency does not fall by itself, so that whoever
	// is asked less often looks no faster for that.
	latencyHeld = 2_000 // ms
	// errorShare is the share of one outcome in the error rate.
	errorShare = 1.0 / 32
	// trustGain is what a success leaves of the distrust.
	trustGain = 0.75
	// maxDistrust bounds Backend.Distrust: a pick out of 128 remains, which
	// finds out that a backend works again.
	maxDistrust = 127
)

// Moment is a point in time of a pool, in ms since it was made, for what
// decays. It wraps after 49 days.
type Moment uint32

// Now returns the current moment of b's pool. It costs one reading of the
// clock.
func (b *Backend) Now() Moment { return Moment(time.Since(b.pool.epoch).Milliseconds()) }

// decaying is a value, never negative, and the moment it was set, in one word.
// It can be read and replaced as one, without a lock. The zero value is 0.
type decaying struct{ word atomic.Uint64 }

func pack(v float64, at Moment) uint64 {
	return uint64(math.Float32bits(float32(v)))<<32 | uint64(at)
}

// unpack returns the value of word as of now, and undecayed.
func unpack(word uint64, now Moment) (v, set float64) {
	set = float64(math.Float32frombits(uint32(word >> 32)))
	switch age := now - Moment(word); {
	case -age <= clockSlack: // 0, too
		return set, set
	case age > forgetTime:
		return 0, set
	default:
		return set * math.Exp(-float64(age)/decayTime), set
	}
}

// at returns the value as of now.
func (d *decaying) at(now Moment) float64 {
	word := d.word.Load()
	if word == 0 {
		return 0
	}
	v, _ := unpack(word, now)
	return v
}

// outcomes is what a backend's latest connections or requests say of it.
type outcomes struct {
	latency  decaying // in ns; 0 if unknown
	errors   decaying
	distrust decaying
	samples  atomic.Uint32 // that latency has of, up to latencySamples
}

// Outcome is how an attempt at using a backend ended.
type Outcome bool

// An attempt ends well or not.
const (
	Well  Outcome = true
	Badly Outcome = false
)

// Observe notes how one attempt at using b ended. In layer 4 latency is the
// time to connect, in layer 7 the time to a response's head; 0 or less means
// that it is not known.
//
// What fails does not look fast: a failure never lowers [Backend.Latency], and
// raises [Backend.Distrust] and [Backend.ErrorRate]. Observe does not block or
// allocate.
func (b *Backend) Observe(latency time.Duration, how Outcome) {
	now, o := b.Now(), &b.outcomes
	if latency > 0 {
		o.measured(float64(latency), how, now)
	}
	if how == Well {
		if b.streak.clearConnects() {
			b.refusalChanged()
		}
		o.errors.scale(1-errorShare, 1e-4, now)
		o.distrust.scale(trustGain, 0.1, now)
		return
	}
	o.errors.grow(1-errorShare, errorShare, 1, now)
	o.distrust.grow(2, 1, maxDistrust, now)
}

// Pulse is what live traffic has done with a backend until some moment.
type Pulse struct {
	// Active is how many slots are taken.
	Active int64

	out              uint64
	errors, distrust uint64
}

// Pulse returns the pulse as of now.
func (b *Backend) Pulse() Pulse {
	return Pulse{b.Active(), b.Counters.BytesOut.Load(), b.outcomes.errors.word.Load(), b.outcomes.distrust.word.Load()}
}

// Silent reports whether nothing came of what the backend was asked from p to
// next: no byte, and no failure. That a connection was made is nothing, because
// the kernel makes it.
func (p Pulse) Silent(next Pulse) bool {
	return next.out == p.out && next.errors == p.errors && next.distrust == p.distrust
}

// measured moves the latency towards a sample: by the logarithm, so that of
// latencies which are now and then ten times as long as mostly, a few do not
// speak for many, and by a share that does not depend on whether it is more or
// less, so that whoever is asked more often looks no slower for that. The share
// is one of latencySamples, or more while there were few or if the last one is
// old; and once there were many, no sample is taken for more than outlier times
// what it was. What failed only raises the latency, at once: a
// time-out is no noise.
func (o *outcomes) measured(sample float64, how Outcome, now Moment) {
	n := o.samples.Load()
	for {
		word := o.latency.word.Load()
		v, set := unpack(word, now)
		next := sample
		switch {
		case how == Badly && sample <= v:
			return
		case how == Badly, v == 0: // nothing is left of those before
			n = 0
		default:
			ratio := sample / set
			if n == latencySamples-1 {
				ratio = min(max(ratio, 1/outlier), outlier)
			}
			next = set * math.Pow(ratio, max(1/float64(n+1), min(1-v/set, lateShare)))
		}
		if o.latency.word.CompareAndSwap(word, pack(next, now)) {
			break
		}
	}
	if n < latencySamples-1 {
		o.samples.Store(n + 1)
	}
}

// scale multiplies the value by f; what falls below least becomes 0.
func (d *decaying) scale(f, least float64, now Moment) {
	for {
		word := d.word.Load()
		if word == 0 {
			return
		}
		v, _ := unpack(word, now)
		next := uint64(0)
		if v *= f; v >= least {
			next = pack(v, now)
		}
		if d.word.CompareAndSwap(word, next) {
			return
		}
	}
}

// grow multiplies the value by f and adds more, up to most.
func (d *decaying) grow(f, more, most float64, now Moment) {
	for {
		word := d.word.Load()
		v, _ := unpack(word, now)
		if d.word.CompareAndSwap(word, pack(min(v*f+more, most), now)) {
			return
		}
	}
}

// Latency returns the latency as of now, the geometric mean of the latest ones;
// 0 means that it is not known. It falls slowly by itself, so that whoever was
// slow is tried again.
func (b *Backend) Latency(now Moment) time.Duration {
	word := b.outcomes.latency.word.Load()
	if age := now - Moment(word); age > latencyHeld && -age > clockSlack {
		now -= latencyHeld
	} else {
		now = Moment(word)
	}
	v, _ := unpack(word, now)
	return time.Duration(v)
}

// Measured returns how well the latency is known, 0 to 1: after one sample
// hardly, for it may be an exception.
func (b *Backend) Measured() float64 {
	return float64(b.outcomes.samples.Load()+1) / latencySamples
}

// ErrorRate returns the part of the latest attempts that failed, 0 to 1: an
// average over some 32 attempts that also decays with time.
func (b *Backend) ErrorRate(now Moment) float64 { return b.outcomes.errors.at(now) }

// Distrust returns how much reason there is to avoid b as of now: 0 is none,
// and d means that b should get about 1 in 1+d of the picks that it would get
// otherwise. A failure takes d to 2d+1, a success to 0.75d, and time lets it
// decay; so a backend that only fails is tried once in 7 s or so, or once in
// 128 picks, and one failure among many successes costs next to nothing.
func (b *Backend) Distrust(now Moment) float64 { return b.outcomes.distrust.at(now) }

// Distrusted reports whether Distrust can be other than 0. It does not read
// the clock.
func (b *Backend) Distrusted() bool { return b.outcomes.distrust.word.Load() != 0 }

// KnownGood reports whether all that is known of b speaks for it: our own check
// passes, or if there was none live traffic does, and nothing failed lately.
func (b *Backend) KnownGood() bool {
	c := b.condition.Load()
	return !b.Distrusted() && !c.Ejection.Active() && (c.State == Up || c.State != Down && b.outcomes.latency.at(b.Now()) > 0)
}

// Hopeful reports whether b may take connections for all that is known: neither
// our own check nor the last connect of live traffic says otherwise.
func (b *Backend) Hopeful() bool {
	return b.condition.Load().State != Down && b.streak.word.Load()&0xff == 0
}

// KnownBad reports whether something that is known of b speaks against it: our
// own check, or what failed lately. A backend that nobody has tried yet is
// neither good nor bad.
func (b *Backend) KnownBad() bool {
	c := b.condition.Load()
	return c.State == Down || c.Ejection.Active() || b.Distrusted()
}

// forgive forgets all failures.
func (b *Backend) forgive() {
	b.streak.clear()
	b.outcomes.errors.word.Store(0)
	b.outcomes.distrust.word.Store(0)
}
