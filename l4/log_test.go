package l4_test

import (
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l4"
	"sluice/pkg/accesslog"
)

func TestLog(t *testing.T) { eachDriver(t, testLog) }

func testLog(t *testing.T) {
	var sb syncBuilder
	log := accesslog.New(accesslog.Config{Sinks: []accesslog.Sink{{Out: &sb, Handler: func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }}}, Metrics: metrics.NewSet()})
	f := newFixture(t, func(c *l4.Config) { c.AccessLog = log }, serveEcho(t))
	if err := exchange(f.dial(), 5, 1); err != nil {
		t.Fatal(err)
	}
	f.shutdown()
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"reason=client_eof", "in=5 out=5", "service=db", "backend=127.0.0.1:", "strategy=round_robin", "connect="} {
		if !strings.Contains(sb.String(), want) {
			t.Fatalf("unexpected log, no %q: %s", want, sb.String())
		}
	}

	var failures syncBuilder
	g := newFixture(t, func(c *l4.Config) { c.Logger = slog.New(slog.NewTextHandler(&failures, nil)) })
	for range 5 {
		g.wantRefusal()
	}
	g.shutdown()
	if n := strings.Count(failures.String(), "reason=no_backend"); n != 1 {
		t.Fatalf("unexpected number of lines about one trouble; got %d; want 1:\n%s", n, failures.String())
	}
}

// syncBuilder is a strings.Builder for several goroutines.
type syncBuilder struct {
	mu sync.Mutex
	sb strings.Builder
}

func (s *syncBuilder) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sb.Write(p)
}

func (s *syncBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sb.String()
}
