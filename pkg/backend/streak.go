package backend

import "sync/atomic"

// AlarmAfter is after how many failures in a row of live traffic, and after
// how many more each, health is asked for a judgement.
const AlarmAfter = 5

// streakMost bounds what a streak counts; a multiple of AlarmAfter.
const streakMost = 50 * AlarmAfter

// Streak is how live traffic fared with a backend lately.
type Streak struct {
	// Connects is how many connects in a row failed.
	Connects int
	// Faults is how many exchanges in a row the backend left without a proper
	// answer. Whose doing that was is another matter; see Evidence.
	Faults int
}

// streak is a Streak in one word. The zero value is empty.
type streak struct{ word atomic.Uint32 }

func (s *streak) get() Streak { return unpackStreak(s.word.Load()) }

func unpackStreak(w uint32) Streak {
	return Streak{Connects: int(w & 0xff), Faults: int(w >> 8 & 0xff)}
}

// update replaces the streak by what f makes of it.
func (s *streak) update(f func(*Streak)) Streak {
	for {
		w := s.word.Load()
		next := unpackStreak(w)
		f(&next)
		if s.word.CompareAndSwap(w, uint32(next.Connects)|uint32(next.Faults)<<8) {
			return next
		}
	}
}

// more adds one to a count, which never exceeds streakMost and passes a
// multiple of AlarmAfter every AlarmAfter times all the same.
func more(n *int) {
	if *n == streakMost {
		*n -= AlarmAfter
	}
	*n++
}

// clear forgets everything.
func (s *streak) clear() {
	if s.word.Load() != 0 {
		s.word.Store(0)
	}
}

// clearConnects forgets the connects that failed, and reports whether there
// were any.
func (s *streak) clearConnects() bool {
	if s.word.Load()&0xff == 0 {
		return false
	}
	s.update(func(k *Streak) { k.Connects = 0 })
	return true
}

// ReportConnectFailure counts a connection attempt of the data path that
// failed, observes it as a failure and asks health to check the backend at
// once. It never blocks.
func (b *Backend) ReportConnectFailure() {
	b.Counters.ConnectFailures.Add(1)
	b.Observe(0, Badly)
	k := b.streak.update(func(k *Streak) { more(&k.Connects) })
	b.alarm(k.Connects)
	b.Suspect()
	if k.Connects == 1 {
		b.refusalChanged()
	}
}

// refusalChanged makes the pool look again whether b refuses connections, if
// that can make a difference.
func (b *Backend) refusalChanged() {
	if c := b.condition.Load(); c.State == Down && c.Unreachable {
		b.pool.refresh()
	}
}

// ReportServed notes that the backend gave a client what it is there for: in
// layer 4 some byte, or a connection that lasted, in layer 7 a response that is
// no failure of its own. While all is well it costs next to nothing.
func (b *Backend) ReportServed(w Witness) {
	b.streak.clear()
	last := b.pool.fault.Load()
	if last == 0 {
		return
	}
	now := b.Now()
	if age := now - Moment(last); age > 2*eraLength && -age > clockSlack {
		b.pool.fault.CompareAndSwap(last, 0)
		return
	}
	b.enter(w, true, now)
}

// ReportFault notes that the backend accepted a connection and then failed:
// closed or reset it at once, before it sent a byte, or sent no valid response,
// or one that says that it failed. It never blocks. What balancers compare by is
// another matter; see Observe.
func (b *Backend) ReportFault(w Witness) {
	now := b.Now()
	b.pool.fault.Store(uint32(max(now, 1)))
	b.enter(w, false, now)
	k := b.streak.update(func(k *Streak) { more(&k.Faults) })
	b.alarm(k.Faults)
}

// alarm asks health for a judgement on every AlarmAfter-th failure in a row.
func (b *Backend) alarm(failures int) {
	if failures%AlarmAfter != 0 {
		return
	}
	select {
	case b.alarms <- struct{}{}:
	default: // it has been asked already
	}
}

// Streak returns how live traffic fared lately.
func (b *Backend) Streak() Streak {
	return b.streak.get()
}

// Alarmed yields a token once failures in a row are many enough to be judged;
// tokens do not queue. It is for health alone.
func (b *Backend) Alarmed() <-chan struct{} { return b.alarms }
