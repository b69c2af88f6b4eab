//go:build !portable

package listen

import (
	"log/slog"
	"testing"
	"time"

	"sluice/pkg/reactor"
)

// TestDrainAfterClose drains a listener that is closed already: the number of
// its descriptor may be somebody else's by then, whose connections must not be
// held off.
func TestDrainAfterClose(t *testing.T) {
	t.Parallel()
	g, err := reactor.NewGroup(1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(g.Close)
	l, _ := newListener(t, 0)
	served := make(chan error, 1)
	go func() { served <- l.Serve(t.Context(), g, func(a Arrival) { a.Stream.Close(); l.Leave(a.Place) }) }()
	dial(t, l)
	for !l.isDetached() {
		time.Sleep(time.Millisecond)
	}
	d := l.detached
	l.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if d.fd != -1 {
		t.Fatalf("unexpected descriptor after Close: %d", d.fd)
	}
	if err := d.holdOff(); err != nil {
		t.Fatalf("a closed listener was held off: %v", err)
	}
	l.Drain()
}
