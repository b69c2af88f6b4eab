//go:build !portable

package listen

import (
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

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

// open binds a listener at an address of its own.
func open(t *testing.T, cfg Config) *Listener {
	t.Helper()
	cfg.Kind, cfg.Name, cfg.Address = "l4", "test", "127.0.0.1:0"
	cfg.Logger, cfg.Metrics = slog.New(slog.DiscardHandler), metrics.NewSet()
	l, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestCloseMeetsServe closes a listener at the moment at which loops begin to
// accept from it: nobody listens then. They once went on with a copy of the
// socket, and whoever waited for the last connection to end did not know of
// those that came.
func TestCloseMeetsServe(t *testing.T) {
	t.Parallel()
	g, err := reactor.NewGroup(2, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	defer g.Close()
	for range 300 {
		l := open(t, Config{})
		served := make(chan error, 1)
		go func() { served <- l.Serve(t.Context(), g, func(a Arrival) { a.Stream.Close(); l.Leave(a.Place) }) }()
		l.Close()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
			t.Fatal("somebody listens still")
		}
	}
}

// TestReclaim hands the socket of a listener over that is draining: whoever
// connects then is let in.
func TestReclaim(t *testing.T) {
	t.Parallel()
	l := open(t, Config{})
	go func() {
		for {
			c, err := l.AcceptConn()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	drained := make(chan struct{})
	go func() { defer close(drained); l.Drain() }()
	for l.drainUntil.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	ln, err := l.Reclaim()
	if err != nil {
		t.Fatal(err)
	}
	next := open(t, Config{Inherited: ln})
	defer next.Close()
	l.Close()
	<-drained
	c, err := net.DialTimeout("tcp", next.Addr().String(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := next.AcceptConn(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reclaim(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("unexpected error of a closed one: %v", err)
	}
}
