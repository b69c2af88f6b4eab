package health

import (
	"testing"
	"time"

	"sluice/pkg/backend"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	cfg := Config{Check: TCPCheck{}}.withDefaults()
	now := time.Unix(1000, 0)
	f := func(s backend.Streak, v backend.Evidence, want string) {
		t.Helper()
		k := newKeeper(&cfg)
		e, eject := k.judge(s, v, now)
		if eject != (want != "") || e.Cause != want {
			t.Fatalf("unexpected judgement on %+v; got %+v, %v; want %q", s, e, eject, want)
		}
		if !eject {
			return
		}
		if n := max(s.Connects, s.Faults); e.Streak != n || e.Number != 1 || !e.Since.Equal(now) || e.Until.Sub(now) != 30*time.Second {
			t.Fatalf("unexpected ejection: %+v", e)
		}
		k.eject(e)
		if _, again := k.judge(s, v, now); again {
			t.Fatal("unexpected second ejection during the first")
		}
		k = newKeeper(&cfg)
		k.observe(false, Connect, now) // down already
		if _, eject := k.judge(s, v, now); eject {
			t.Fatal("unexpected ejection of a backend that is down")
		}
	}
	none := backend.Evidence{}
	f(backend.Streak{}, none, "")
	f(backend.Streak{Connects: 4, Faults: 4}, none, "")
	f(backend.Streak{Connects: 5}, none, causeConnects)
	f(backend.Streak{Faults: 100}, none, "") // a client's doing, perhaps
	many := backend.Evidence{Against: 5, PeersFor: 5}
	f(backend.Streak{Faults: 4}, many, "")
	f(backend.Streak{Faults: 5}, many, causeFaults)
	f(backend.Streak{Faults: 5}, backend.Evidence{Against: 4, PeersFor: 50}, "") // a handful
	f(backend.Streak{Faults: 5}, backend.Evidence{Against: 20, For: 20, PeersFor: 50}, "")
	f(backend.Streak{Faults: 5}, backend.Evidence{Against: 20, For: 19, PeersFor: 50}, causeFaults)
	f(backend.Streak{Faults: 5}, backend.Evidence{Against: 20}, "")                                // there is nobody to compare it with
	f(backend.Streak{Faults: 5}, backend.Evidence{Against: 20, PeersFor: 19, PeersAgainst: 1}, "") // or others fare as badly
	f(backend.Streak{Faults: 5}, backend.Evidence{Against: 20, PeersFor: 20, PeersAgainst: 6}, "")
	f(backend.Streak{Faults: 14}, backend.Evidence{Against: 1, PeersFor: 1, Repeated: 14}, "")
	f(backend.Streak{Faults: 15}, backend.Evidence{Against: 1, PeersFor: 1, Repeated: 15}, causeFaults)
	f(backend.Streak{Faults: 15}, backend.Evidence{Against: 1, PeersFor: 1, Repeated: 14}, "")
	f(backend.Streak{Faults: 15}, backend.Evidence{Against: 1, For: 1, PeersFor: 1, Repeated: 15}, "")
	k := newKeeper(&cfg)
	k.observe(true, Answer, now)
	if _, eject := k.judge(backend.Streak{Faults: 15}, backend.Evidence{Against: 1, Repeated: 15}, now); eject {
		t.Fatal("unexpected ejection by few of a backend whose check is answered")
	}
	if _, eject := k.judge(backend.Streak{Faults: 15}, many, now); !eject {
		t.Fatal("unexpected: no ejection by many of a backend whose check is answered")
	}
}

// TestEjectionGrows shows how long ejections last that follow each other, and
// how the number falls again in service.
func TestEjectionGrows(t *testing.T) {
	t.Parallel()
	cfg := Config{}.withDefaults()
	now := time.Unix(1000, 0)
	k := newKeeper(&cfg)
	f := func(served time.Duration, wantNumber int, want time.Duration) {
		t.Helper()
		now = now.Add(served)
		e, eject := k.judge(backend.Streak{Connects: 5}, backend.Evidence{}, now)
		if d := e.Until.Sub(now); !eject || e.Number != wantNumber || d != want {
			t.Fatalf("unexpected ejection; got %v, number %d, %v; want number %d, %v", eject, e.Number, d, wantNumber, want)
		}
		k.eject(e)
		now = e.Until
		k.readmit(now)
	}
	for i := 1; i <= 12; i++ {
		f(time.Second, i, min(time.Duration(i)*30*time.Second, 300*time.Second))
	}
	f(65*time.Second, 11, 300*time.Second) // 12 - 2 + 1
	f(9*30*time.Second, 3, 90*time.Second)
	f(time.Hour, 1, 30*time.Second)
}

// TestRefute shows which checks end which ejection, after how many passes.
func TestRefute(t *testing.T) {
	t.Parallel()
	v := backend.Evidence{Against: 5, PeersFor: 5}
	f := func(tested Layer, s backend.Streak, ejections int, want int) {
		t.Helper()
		cfg := Config{}.withDefaults()
		k := newKeeper(&cfg)
		now := time.Unix(1000, 0)
		k.observe(true, tested, now)
		for range ejections {
			k.readmit(now)
			e, _ := k.judge(s, v, now)
			k.eject(e)
			k.observe(true, tested, now)
			k.observe(false, tested, now) // not in a row
		}
		got := 0
		for i := 1; i <= 100 && got == 0; i++ {
			k.observe(true, tested, now)
			if k.refuted(now) {
				got = i
			}
		}
		if got != want {
			t.Fatalf("unexpected passes that refute ejection %d of %+v by checks of layer %d; got %d; want %d", ejections, s, tested, got, want)
		}
		if want == 0 {
			return
		}
		k.readmit(now)
		if k.refuted(now) || k.h.out {
			t.Fatal("unexpected ejection after its end")
		}
	}
	connects, faults := backend.Streak{Connects: 5}, backend.Streak{Faults: 5}
	f(Connect, connects, 1, 2)
	f(Connect, connects, 2, 8) // damped, as a state that flaps
	f(Connect, connects, 3, 32)
	f(Connect, faults, 1, 0) // a connect says nothing of the answers
	f(Answer, connects, 1, 2)
	f(Answer, faults, 1, 2)
	f(Nothing, connects, 1, 0)
}

// TestOneOutageIsOneFlap checks that a crash, which live traffic and checks
// both notice, is damped as one.
func TestOneOutageIsOneFlap(t *testing.T) {
	t.Parallel()
	cfg := Config{Check: TCPCheck{}}.withDefaults()
	k := newKeeper(&cfg)
	now := time.Unix(1000, 0)
	k.observe(true, Connect, now)
	e, _ := k.judge(backend.Streak{Connects: 5}, backend.Evidence{}, now)
	k.eject(e)
	for range 3 {
		k.observe(false, Connect, now)
	}
	if k.h.State() != backend.Down || k.h.Needed(now) != 2 {
		t.Fatalf("unexpected need of one outage; got %v, %d passes; want 2", k.h.State(), k.h.Needed(now))
	}
	k.observe(true, Connect, now)
	if changed, _ := k.observe(true, Connect, now); !changed || !k.refuted(now) {
		t.Fatal("unexpected: two passes end neither")
	}
}

// TestTogether checks that the waits of many checks end at few moments, are
// hardly longer for it and never shorter, and that the moments are spread as
// before.
func TestTogether(t *testing.T) {
	t.Parallel()
	ends := make(map[int64]int)
	start := time.Unix(1_700_000_000, 123_456_789)
	for i := range 10_000 {
		now := start.Add(time.Duration(i) * 197 * time.Microsecond)
		wait := jitter(2 * time.Second)
		got := together(wait, now)
		if got < wait || got > wait+wait/gridPart {
			t.Fatalf("unexpected wait; got %v; want %v or a little more", got, wait)
		}
		ends[now.Add(got).UnixNano()]++
	}
	most := 0
	for _, n := range ends {
		most = max(most, n)
	}
	if len(ends) > 100 || most > 300 {
		t.Errorf("unexpected moments: %d of them, at the busiest %d of 10,000 checks", len(ends), most)
	}
	for _, wait := range []time.Duration{0, 1, 39, 40, time.Millisecond} {
		if got := together(wait, start); got < wait || got > wait+wait/gridPart+1 {
			t.Errorf("unexpected wait of %v; got %v", wait, got)
		}
	}
}
