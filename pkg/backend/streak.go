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
	// answer.
	Faults int
	// SeveralClients says that Faults befell more than one client. What befalls
	// a single one may be that client's own doing.
	SeveralClients bool
}

// streak is a Streak and the client of its first fault, in one word. The zero
// value is empty.
type streak struct{ word atomic.Uint64 }

func (s *streak) get() (Streak, uint32) {
	w := s.word.Load()
	return unpackStreak(w)
}

func unpackStreak(w uint64) (Streak, uint32) {
	return Streak{Connects: int(w & 0xff), Faults: int(w >> 8 & 0xff), SeveralClients: w>>16&1 == 1}, uint32(w >> 32)
}

func packStreak(s Streak, client uint32) uint64 {
	w := uint64(s.Connects) | uint64(s.Faults)<<8 | uint64(client)<<32
	if s.SeveralClients {
		w |= 1 << 16
	}
	return w
}

// update replaces the streak by what f makes of it.
func (s *streak) update(f func(*Streak, *uint32)) Streak {
	for {
		w := s.word.Load()
		next, client := unpackStreak(w)
		f(&next, &client)
		if s.word.CompareAndSwap(w, packStreak(next, client)) {
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
	s.update(func(k *Streak, _ *uint32) { k.Connects = 0 })
	return true
}

// ReportConnectFailure counts a connection attempt of the data path that
// failed, observes it as a failure and asks health to check the backend at
// once. It never blocks.
func (b *Backend) ReportConnectFailure() {
	b.Counters.ConnectFailures.Add(1)
	b.Observe(0, false)
	k := b.streak.update(func(k *Streak, _ *uint32) { more(&k.Connects) })
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
// layer 4 some byte, in layer 7 a response that is no failure of its own.
func (b *Backend) ReportServed() { b.streak.clear() }

// ReportFault notes that the backend accepted a connection and then failed:
// closed or reset it before it sent a byte, or sent no valid response, or one
// that says that it failed. client tells clients apart, such as by
// balance.HashAddr; 0 means that no client can have had a part in it. It never
// blocks. What balancers compare by is another matter; see Observe.
func (b *Backend) ReportFault(client uint64) {
	name := uint32(client) ^ uint32(client>>32)
	k := b.streak.update(func(k *Streak, first *uint32) {
		if k.Faults == 0 {
			*first, k.SeveralClients = name, false
		}
		k.SeveralClients = k.SeveralClients || client == 0 || name != *first
		more(&k.Faults)
	})
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
	s, _ := b.streak.get()
	return s
}

// Alarmed yields a token once failures in a row are many enough to be judged;
// tokens do not queue. It is for health alone.
func (b *Backend) Alarmed() <-chan struct{} { return b.alarms }
