package health

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// waiting is a check that takes until somebody makes room.
type waiting struct{ room chan struct{} }

func (w waiting) Probe(ctx context.Context, _ string) (Result, error) {
	select {
	case <-w.room:
		return Result{Tested: Answer}, nil
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

func (waiting) String() string { return "waiting check" }

// TestCrowded has a check that passes when those who keep connections have made
// room for it: they hear of it before the check fails.
func TestCrowded(t *testing.T) {
	t.Parallel()
	p := backend.NewPool("web")
	room := make(chan struct{})
	made := false
	cancel := p.OnCrowded(func(*backend.Backend) {
		if !made {
			made = true
			close(room)
		}
	})
	m := NewMonitor(Config{Check: waiting{room}, Interval: 10 * time.Millisecond, FastInterval: 10 * time.Millisecond, Timeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	defer m.Close()
	m.Follow(p.Set([]backend.Target{{ID: "a", Address: "127.0.0.1:1", Weight: 1}}))
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b := p.Snapshot().All[0]
		if b.State() == backend.Up {
			break
		}
		if n := b.Counters.ChecksFailed.Load(); n > 0 || time.Now().After(end) {
			t.Fatalf("nobody has made room; %d checks have failed", n)
		}
	}
	cancel()
	p.Snapshot().All[0].Crowded()
}
