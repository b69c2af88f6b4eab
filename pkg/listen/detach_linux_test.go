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
	if err := d.onSocket(holdOff); err != nil {
		t.Fatalf("a closed listener was held off: %v", err)
	}
	l.Drain()
}

// TestServeSurvivesExhaustion begins to serve while there is no descriptor for
// the copy of the socket that loops accept from. It once never served then, and
// the process ended, or the listener that a tag had asked for hung. It lowers
// the limit of its own process, so it is not parallel to others.
func TestServeSurvivesExhaustion(t *testing.T) {
	g, err := reactor.NewGroup(1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(g.Close)
	for _, ends := range []bool{false, true} {
		l, set := newListener(t, 0)
		failed := set.GetOrCreateCounter(`sluice_listener_accept_errors_total{listener="l4",name="web",addr="` + l.Addr().String() + `"}`)
		restore := noFiles(t)
		defer restore()
		served, came := make(chan error, 1), make(chan struct{})
		go func() {
			served <- l.Serve(t.Context(), g, func(a Arrival) { a.Stream.Close(); l.Leave(a.Place); close(came) })
		}()
		for failed.Get() < 2 {
			select {
			case err := <-served:
				t.Fatalf("it serves no more: %v", err)
			case <-time.After(time.Millisecond):
			}
		}
		if !ends {
			restore()
			dial(t, l)
			<-came
		}
		l.Close()
		if err := <-served; err != nil {
			t.Fatalf("unexpected error of a closed listener: %v", err)
		}
		restore()
	}
}
