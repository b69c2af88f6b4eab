package pause

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWatch looks on time and late, by hand: only the lateness is a pause, and
// only the part of it counts that came after what is asked for.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &Watch{done: make(chan struct{}), last: time.Now()}
		start := time.Now()
		f := func(at, want time.Duration) {
			t.Helper()
			if got := w.Since(start.Add(at)); got != want {
				t.Fatalf("unexpected pause since %v; got %v; want %v", at, got, want)
			}
		}
		for range 5 {
			time.Sleep(every + margin)
			w.look(time.Now())
		}
		f(0, 0)
		begin := time.Since(start)
		time.Sleep(5*time.Second + every)
		f(0, 5*time.Second) // known before the watch itself has run
		w.look(time.Now())
		f(0, 5*time.Second)
		f(begin+every+time.Second, 4*time.Second)
		time.Sleep(every)
		f(begin+every+5*time.Second, 0)
		w.look(time.Now())
		time.Sleep(every + time.Second)
		w.look(time.Now())
		f(0, 6*time.Second)
		if n, d := w.Total(); n != 2 || d != 6*time.Second {
			t.Fatalf("unexpected total: %d, %v", n, d)
		}
		for range 2 * remembered {
			time.Sleep(every + time.Second)
			w.look(time.Now())
		}
		f(0, remembered*time.Second) // bounded
	})
	var none *Watch
	if none.Since(time.Now()) != 0 {
		t.Fatal("unexpected pause of nobody")
	}
}

// TestRun checks that a watch that runs finds no pause by itself, and ends.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := NewWatch()
		time.Sleep(10 * time.Second)
		if n, _ := w.Total(); n != 0 {
			t.Fatalf("unexpected pauses: %d", n)
		}
		w.Close()
	})
}
