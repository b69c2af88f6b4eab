package l7

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/tracing"
)

// spans keeps spans.
type spans struct {
	mu  sync.Mutex
	all []*tracing.Span
}

func (s *spans) Emit(sp *tracing.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, sp)
}

func (s *spans) Close(context.Context) error { return nil }

// await waits for the n-th span.
func (s *spans) await(t *testing.T, n int) *tracing.Span {
	t.Helper()
	eventually(t, "a span is told", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.all) > n })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[n]
}

// TestSpans has requests sampled as their traces say, and backends told of a parent
// that there is.
func TestSpans(t *testing.T) { eachDriver(t, testSpans) }

func testSpans(t *testing.T) {
	t.Parallel()
	heads := make(chan http.Header, 10)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		heads <- r.Header
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, "answer")
	})
	kept := &spans{}
	tracer := tracing.New(tracing.Config{Sink: kept, Share: 1, Metrics: metrics.NewSet()})
	traced := func(c *Config) { c.Tracer = tracer }
	f := newFront(t, traced, deadAddr(t), b)
	c := f.raw()
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

	// A trace that is sampled; the first backend that is tried is dead, for one of two
	// requests in turn.
	told := 0
	next := func() (http.Header, *tracing.Span) {
		told++
		return <-heads, kept.await(t, told-1)
	}
	const post = "POST /x?a=b HTTP/1.1\r\nHost: a.test\r\nUser-Agent: me\r\ntraceparent: 00-" + trace + "-" + parent + "-01\r\ntracestate: k=v\r\nContent-Length: 3\r\n\r\nabc"
	c.do(post)
	h, s := next()
	if len(s.Upstream.Retries) == 0 {
		c.do(post)
		h, s = next()
	}
	if s.Trace.String() != trace || s.Parent.String() != parent || s.State != "k=v" || s.ID == s.Upstream.ID {
		t.Errorf("unexpected identifiers: %+v", s)
	}
	if got, want := strings.Join(h.Values("Traceparent"), "|"), "00-"+trace+"-"+s.Upstream.ID.String()+"-01"; got != want || h.Get("Tracestate") != "k=v" {
		t.Errorf("unexpected traceparent at the backend %q, state %q; want %q", got, h.Get("Tracestate"), want)
	}
	if r := s.Request; r.Method != "POST" || r.Host != "a.test" || r.Path != "/x" || r.Query != "a=b" || r.Protocol != "1.1" || r.UserAgent != "me" || r.Route != "/" || r.Service != "web" || !r.Client.IsValid() {
		t.Errorf("unexpected request: %+v", r)
	}
	if o := s.Outcome; o.Status != 200 || o.Failed || o.Reason != "" || o.In != 3 || o.Out != 6 || o.GRPC != -1 {
		t.Errorf("unexpected outcome: %+v", o)
	}
	if n := f.gauge("sluice_l7_failed_total"); n != 0 {
		t.Errorf("%v requests are counted as failed; want 0: another backend has served it", n)
	}
	up := s.Upstream
	if up.Backend != b || up.Protocol != "http" || up.Strategy != "round_robin" || up.Start.Before(s.Start) || s.End.Before(up.Start) || len(up.Retries) != 1 || up.Retries[0].Backend == b || up.Retries[0].Reason != "connect_failed" {
		t.Errorf("unexpected upstream: %+v", up)
	}

	// One that is not: it is passed on, and nothing is told.
	const off = "00-" + trace + "-" + parent + "-00"
	c.do("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: " + off + "\r\n\r\n")
	if h := <-heads; h.Get("Traceparent") != off {
		t.Errorf("unexpected traceparent at the backend: %q", h.Get("Traceparent"))
	}

	// None: one begins. The answer is the backend's failure.
	c.do("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n")
	h, s = next()
	if got, want := h.Get("Traceparent"), "00-"+s.Trace.String()+"-"+s.Upstream.ID.String()+"-01"; got != want || s.Parent != (tracing.SpanID{}) || s.Trace == (tracing.TraceID{}) {
		t.Errorf("unexpected traceparent at the backend %q; want %q", got, want)
	}
	if s.Outcome.Status != 500 || s.Request.Path != "/bad" {
		t.Errorf("unexpected outcome: %+v", s.Outcome)
	}

	// A request that has no backend has no span of one.
	nobody := newFront(t, traced).raw()
	nobody.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if s = kept.await(t, told); !s.Upstream.Start.IsZero() || s.Outcome.Status != 503 || s.Outcome.Reason != "no_backend" || !s.Outcome.Failed {
		t.Errorf("unexpected span of a request without a backend: %+v", s)
	}

	// Not sampled by chance: the backend is told so.
	seldom := newFront(t, func(c *Config) { c.Tracer, c.TraceShare = tracer, 1e-12 }, b).raw()
	seldom.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if h = <-heads; !strings.HasSuffix(h.Get("Traceparent"), "-00") {
		t.Errorf("unexpected traceparent at the backend: %q", h.Get("Traceparent"))
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if len(kept.all) != told+1 {
		t.Errorf("%d spans were told; want %d", len(kept.all), told+1)
	}
}

// TestSpansHTTP2 is the same for streams of HTTP/2, with client and backend.
func TestSpansHTTP2(t *testing.T) { eachDriver(t, testSpansHTTP2) }

func testSpansHTTP2(t *testing.T) {
	onlyLoop(t)
	t.Parallel()
	parents := make(chan string, 1)
	b, _ := newClearBackend(t, 100, func(_ http.ResponseWriter, r *http.Request) { parents <- r.Proto + " " + r.Header.Get("Traceparent") })
	kept := &spans{}
	tracer := tracing.New(tracing.Config{Sink: kept, Share: 1, Metrics: metrics.NewSet()})
	f := newClearFront(t, func(c *Config) { c.Tracer = tracer })
	f.speak(backend.H2C, b)
	resp, err := f.client2().Get(f.url("/x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s := kept.await(t, 0)
	if got, want := <-parents, "HTTP/2.0 00-"+s.Trace.String()+"-"+s.Upstream.ID.String()+"-01"; got != want || s.Request.Protocol != "2.0" || s.Upstream.Protocol != "h2c" || s.Outcome.Status != 200 {
		t.Errorf("unexpected span %+v; the backend was told %q", s, got)
	}
}
