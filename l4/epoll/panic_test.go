package epoll

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l4"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// TestPanicGivesBack panics where no handler of a stream runs: in what was
// posted about a session, and while a connection is accepted.
func TestPanicGivesBack(t *testing.T) {
	t.Parallel()
	logger, set := slog.New(slog.DiscardHandler), metrics.NewSet()
	g, err := reactor.NewGroup(2, logger)
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(g.Close)
	ln, err := listen.Listen(listen.Config{Kind: "l4", Name: "db", Address: "127.0.0.1:0", Logger: logger, Metrics: set})
	if err != nil {
		t.Fatal(err)
	}
	greeter, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { greeter.Close() })
	go func() {
		for {
			c, err := greeter.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello\n")
		}
	}()
	pool := backend.NewPool("db")
	pool.Set([]backend.Target{{ID: "a", Address: greeter.Addr().String(), Weight: 1}})
	balancer, err := balance.New(pool, "round_robin")
	if err != nil {
		t.Fatal(err)
	}
	s := New(ln, g, l4.Config{Routes: []l4.Route{{Service: l4.Service{Balancer: balancer}}}, Logger: logger, Metrics: set})
	go func() { _ = s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx)
	})
	ended := func() bool { return ln.Open() == 0 && pool.Snapshot().All[0].Active() == 0 }

	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	everywhere := func(f func(i int)) {
		for i, l := range g.Loops() {
			done := make(chan struct{})
			l.Post(func() { f(i); close(done) })
			<-done
		}
	}
	everywhere(func(i int) {
		for _, chain := range s.lists[i].led {
			chain.First().Of.post(func() { panic("test") })
		}
	})
	waitFor(t, ended)
	if got := set.GetOrCreateCounter(fmt.Sprintf("sluice_l4_connections_total{service=%q,reason=%q}", "db", l4.InternalError)).Get(); got != 1 {
		t.Fatalf("unexpected connections that ended by a defect: %d", got)
	}

	everywhere(func(i int) { s.lists[i].free = []*dialing{nil} })       // so that to begin panics
	if broken, err := net.Dial("tcp", ln.Addr().String()); err == nil { // it may be reset before that returns
		defer broken.Close()
		_ = broken.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := broken.Read(make([]byte, 1)); err == nil {
			t.Fatal("unexpected answer of what panicked")
		}
	}
	waitFor(t, ended)
}

// waitFor waits until ok, at most for 20 s.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
