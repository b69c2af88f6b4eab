package reactor

import "time"

// A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical
// Timing Wheels", 1987): three levels of 256 slots, of 4 ms, 1 s and 262 s.
// Setting and stopping a timer cost a few pointers; a timer fires at most one
// tick late and never early.
const (
	tickBits   = 22 // a tick is 2^22 ns, 4.2 ms
	slotBits   = 8
	slots      = 1 << slotBits
	levels     = 3
	maxTickGap = 1<<(slotBits*levels) - 1 // about 19 hours; longer timers are set again on the way
)

// Alarm is told of a timer that has expired, in the timer's loop.
type Alarm interface {
	Expired(t *Timer)
}

// AlarmFunc is a function as an Alarm.
type AlarmFunc func()

// Expired calls f.
func (f AlarmFunc) Expired(*Timer) { f() }

// Timer tells an Alarm when its time has come. Its zero value is not set. A
// Timer is part of what it times, and must not be copied while it is set.
type Timer struct {
	prev, next *Timer
	when       int64 // ticks
	alarm      Alarm
}

// Set reports whether the timer is set.
func (t *Timer) Set() bool { return t.next != nil }

// wheel holds the timers of one loop.
type wheel struct {
	tick  int64 // all timers up to this tick have fired
	count int
	slot  [levels][slots]Timer // heads of circular lists
}

func newWheel(now int64) *wheel {
	w := &wheel{tick: now >> tickBits}
	for l := range w.slot {
		for s := range w.slot[l] {
			head := &w.slot[l][s]
			head.prev, head.next = head, head
		}
	}
	return w
}

// set makes t tell a at when, in ns; t may be set already.
func (w *wheel) set(t *Timer, when int64, a Alarm) {
	w.stop(t)
	t.alarm = a
	t.when = max((when>>tickBits)+1, w.tick+1)
	w.insert(t)
	w.count++
}

// insert links t into the slot where it will next be looked at.
func (w *wheel) insert(t *Timer) {
	when := min(t.when, w.tick+maxTickGap)
	level := 0
	for level < levels-1 && (when>>(slotBits*level))-(w.tick>>(slotBits*level)) >= slots {
		level++
	}
	head := &w.slot[level][(when>>(slotBits*level))&(slots-1)]
	t.prev, t.next = head.prev, head
	head.prev.next = t
	head.prev = t
}

func unlink(t *Timer) {
	t.prev.next = t.next
	t.next.prev = t.prev
	t.prev, t.next = nil, nil
}

// stop unsets t; it does nothing if t is not set.
func (w *wheel) stop(t *Timer) {
	if t.next != nil {
		unlink(t)
		w.count--
	}
}

// advance fires all timers due at now, in ns.
func (w *wheel) advance(now int64) {
	target := now >> tickBits
	if w.count == 0 {
		w.tick = max(w.tick, target)
		return
	}
	for w.tick < target {
		w.tick++
		for level := 1; level < levels; level++ {
			if w.tick&(1<<(slotBits*level)-1) != 0 {
				break
			}
			w.cascade(&w.slot[level][(w.tick>>(slotBits*level))&(slots-1)])
		}
		head := &w.slot[0][w.tick&(slots-1)]
		for t := head.next; t != head; t = head.next {
			unlink(t)
			if t.when > w.tick { // only a very long one
				w.insert(t)
				continue
			}
			w.count--
			t.alarm.Expired(t)
		}
	}
}

// cascade moves the timers of a slot to where they belong now.
func (w *wheel) cascade(head *Timer) {
	for t := head.next; t != head; t = head.next {
		unlink(t)
		w.insert(t)
	}
}

// next returns how long after now a timer may be due, at most limit.
func (w *wheel) next(now int64, limit time.Duration) time.Duration {
	if w.count == 0 {
		return limit
	}
	// The lowest level holds what is due before its slots come round; when it
	// is empty the next cascade is what must not be missed.
	until := slots - w.tick&(slots-1)
	for i := int64(1); i < until; i++ {
		if head := &w.slot[0][(w.tick+i)&(slots-1)]; head.next != head {
			until = i
			break
		}
	}
	d := time.Duration((w.tick+until)<<tickBits - now)
	return min(max(d, 0), limit)
}
