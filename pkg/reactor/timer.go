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

// Alarm is told of a timer that has expired, in the timer's loop. One that is a
// [Mourner] is told if it panics then.
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
	tick   int64 // all timers before this tick have fired, and those of it unless behind
	level  int   // the highest level whose timers of this tick are still to be moved down
	behind bool  // advance has stopped within this tick
	count  int
	slot   [levels][slots]Timer // heads of circular lists
	firing Alarm                // which is being told
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

// advance fires the timers due at now, in ns. It touches most of them at most
// and reports whether more are due; the next call goes on with those.
func (w *wheel) advance(now int64, most int) (more bool) {
	target := now >> tickBits
	if w.count == 0 {
		w.tick, w.level, w.behind = max(w.tick, target), 0, false
		return false
	}
	for {
		w.behind = true // also if an alarm panics
		if !w.turn(&most) {
			return true
		}
		w.behind = false
		if w.tick >= target {
			return false
		}
		w.tick++
		for w.level = 0; w.level+1 < levels && w.tick&(1<<(slotBits*(w.level+1))-1) == 0; {
			w.level++
		}
	}
}

// turn fires the timers of the current tick, after those that were further away
// have been moved to where they belong now. It reports whether that is all.
// Nothing is set for the current tick meanwhile, see set.
func (w *wheel) turn(most *int) bool {
	for ; w.level >= 0; w.level-- {
		head := &w.slot[w.level][(w.tick>>(slotBits*w.level))&(slots-1)]
		for t := head.next; t != head; t = head.next {
			if *most--; *most < 0 {
				return false
			}
			unlink(t)
			if w.level > 0 || t.when > w.tick { // the latter only for a very long one
				w.insert(t)
				continue
			}
			w.count--
			w.firing = t.alarm
			t.alarm.Expired(t)
			w.firing = nil
		}
	}
	w.level = 0
	return true
}

// next returns how long after now a timer may be due, at most limit.
func (w *wheel) next(now int64, limit time.Duration) time.Duration {
	if w.count == 0 {
		return limit
	}
	if w.behind {
		return 0
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
