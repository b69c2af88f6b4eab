package backend

import "time"

// Ejection keeps a backend out for what live traffic found. The zero value is
// none.
type Ejection struct {
	// Since and Until are when it began and when it is to end; zero if there
	// is none.
	Since, Until time.Time
	// Number is 1 for the first of several that came soon after each other.
	Number int
	// Streak is how many failures in a row led to it.
	Streak int
	// Cause says what failed.
	Cause string
}

// Active reports whether there is an ejection.
func (e Ejection) Active() bool { return !e.Until.IsZero() }

// Eject keeps the backend out until e ends, if it is available and the pool's
// policy allows one more; it reports whether it did. It is for pkg/health
// alone, like SetCondition.
func (b *Backend) Eject(e Ejection) bool {
	p := b.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	n := count(p.sorted)
	if b.standing() != available || n[available] < 2 || n[ejected]+1 > maxEjected(n.candidates(), p.policy.MaxEjection) {
		return false
	}
	c := *b.condition.Load()
	c.Ejection = e
	b.condition.Store(&c)
	b.Counters.Ejected.Add(1)
	b.remember(Change{At: e.Since, To: "ejected", Streak: e.Streak, Signal: "live traffic", Detail: e.Cause})
	p.publish()
	return true
}

// Readmit ends the backend's ejection; why says why, for its history.
// Failures from before are forgotten. It is for pkg/health alone.
func (b *Backend) Readmit(now time.Time, signal, why string) {
	c := *b.condition.Load()
	c.Ejection = Ejection{}
	b.condition.Store(&c)
	b.forgive()
	b.Counters.Readmitted.Add(1)
	b.remember(Change{At: now, To: "readmitted", Signal: signal, Detail: why})
	b.pool.refresh()
}
