//go:build linux

package reactor

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWheel sets timers from a millisecond to days, stops and sets some again,
// and lets time pass in steps of every size: each must fire once, not early,
// and at most a tick late, beyond the step itself.
func TestWheel(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	now := r.Int64N(1 << 50)
	w := newWheel(now)
	type entry struct {
		timer Timer
		when  int64
		fired int
	}
	var all []*entry
	var last int64 // when the loop last looked
	add := func(e *entry) {
		e.when = now + r.Int64N(int64(time.Millisecond)<<r.IntN(29))
		w.set(&e.timer, e.when, AlarmFunc(func() {
			e.fired++
			if now < e.when || last > e.when+1<<tickBits {
				t.Errorf("unexpected time of a timer for %d; fired at %d, after a look at %d", e.when, now, last)
			}
		}))
	}
	for range 200 {
		e := &entry{}
		all = append(all, e)
		add(e)
	}
	for i, e := range all {
		switch i % 4 {
		case 0:
			w.stop(&e.timer)
			w.stop(&e.timer)
			e.fired = 1
		case 1:
			add(e)
		}
	}
	for step := 0; w.count > 0; step++ {
		last = now
		// Sleep as a loop would, or be woken earlier.
		d := w.next(now, time.Hour)
		if r.IntN(2) == 0 {
			d = time.Duration(r.Int64N(int64(d) + 1))
		}
		now += int64(d) + 1
		for w.advance(now, 3) {
		}
		if step > 10_000_000 {
			t.Fatal("timers do not fire")
		}
	}
	for i, e := range all {
		if e.fired != 1 || e.timer.Set() {
			t.Fatalf("unexpected timer %d; fired %d times; want once", i, e.fired)
		}
	}
}

// TestWheelSetWithinFire checks that a timer may set itself again.
func TestWheelSetWithinFire(t *testing.T) {
	t.Parallel()
	w := newWheel(0)
	var timer Timer
	now, n := int64(0), 0
	var fire func()
	fire = func() {
		if n++; n < 5 {
			w.set(&timer, now, AlarmFunc(fire))
		}
	}
	w.set(&timer, 1, AlarmFunc(fire))
	for range 10 {
		now += 1 << tickBits
		for w.advance(now, 3) {
		}
	}
	if n != 5 || w.count != 0 {
		t.Fatalf("unexpected; fired %d times, %d left", n, w.count)
	}
}
