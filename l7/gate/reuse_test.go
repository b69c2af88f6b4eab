package gate

import (
	"testing"
	"time"

	"sluice/l7/http1"
)

func TestKeepFor(t *testing.T) {
	t.Parallel()
	f := func(own time.Duration, header string, want time.Duration) {
		t.Helper()
		if got := KeepFor(own, http1.KeepAliveTimeout([]byte(header))); got != want {
			t.Errorf("unexpected time for %v and %q; got %v; want %v", own, header, got, want)
		}
	}
	f(4*time.Second, "", 4*time.Second)
	f(4*time.Second, "timeout=60", 4*time.Second)
	f(4*time.Second, "timeout=5", 4*time.Second)
	f(4*time.Second, "timeout=3", 2*time.Second)
	f(4*time.Second, "max=100, Timeout = 3", 2*time.Second)
	f(4*time.Second, `timeout="3", max=100`, 2*time.Second)
	f(4*time.Second, "timeout=2", time.Second)
	f(4*time.Second, "timeout=1", time.Second/2)
	f(4*time.Second, "timeout=0", 0)
	f(-1, "timeout=60", -1)
	f(Forever, "timeout=9999999999999", Forever-time.Second)
	for _, none := range []string{"timeout", "timeout=", "timeout=x", "timeout=-3", "timeouts=3", "max=3", "xtimeout=3", ",,"} {
		f(4*time.Second, none, 4*time.Second)
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	var l Lifetime
	f := func(now time.Duration, want time.Duration) {
		t.Helper()
		if got := l.Limit(int64(now)); got != want {
			t.Errorf("unexpected limit at %v; got %v; want %v", now, got, want)
		}
	}
	f(0, Forever)
	l.Ended(10*time.Millisecond, 0) // a restart, or nothing to go by
	f(0, Forever)
	l.Ended(5*time.Second, 0)
	l.Ended(time.Second, int64(time.Second))
	l.Ended(2*time.Second, int64(2*time.Second))
	f(3*time.Second, 900*time.Millisecond)
	f(2*time.Second+lifetimeMemory, Forever)
	l.Ended(5*time.Second, int64(3*time.Second+lifetimeMemory))
	f(3*time.Second+lifetimeMemory, 4500*time.Millisecond)
}
