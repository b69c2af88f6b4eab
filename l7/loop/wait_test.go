package loop

import (
	"log/slog"
	"testing"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/pump"
	"sluice/pkg/reactor"
)

// TestEachPhaseWaits looks at whom each phase waits for, and that a client which
// takes nothing, or has ended its direction, goes before that.
func TestEachPhaseWaits(t *testing.T) {
	t.Parallel()
	g, err := reactor.NewGroup(1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close) // it is not started: this test is its loop
	cfg := gate.Config{Timeouts: gate.Timeouts{FINTimeout: time.Second}}
	sh := newShard(&Server{cfg: &cfg}, g.Loops()[0])
	limits := gate.Limits{Response: 5 * time.Second, Body: 7 * time.Second, UpgradeIdle: time.Hour, UpgradeFIN: time.Minute}
	for p, want := range map[phase]time.Duration{
		receiving: limits.Body, verifying: gate.AuthWait, queued: 0, connecting: 3 * time.Second, sending: limits.Body,
		waiting: limits.Response, responding: limits.Body, answering: limits.Body, tunnelling: limits.UpgradeIdle,
	} {
		x := &exchange{sh: sh, c: &conn{sh: sh}, phase: p, tunnel: new(pump.Pair)}
		*x.Limits() = limits
		x.connectBy = sh.l.Now() + int64(3*time.Second)
		x.tunnel.Begin(sh.l.Now())
		if w := x.wait(); w.late == nil || (w.limit-want).Abs() > time.Second {
			t.Errorf("unexpected wait in phase %d; got %v; want %v, and something to do then", p, w.limit, want)
		}
		x.c.eof = true
		if w := x.wait(); p != tunnelling && w.limit > cfg.FINTimeout {
			t.Errorf("a client that has ended its direction is waited for in phase %d, for %v", p, w.limit)
		}
	}
}
