package otlp

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"

	"sluice/pkg/tracing"
	"sluice/pkg/tracing/otlp/otlptest"
)

// log is a log that may be read.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newSink(t *testing.T, url string, log *log) (*Sink, *metrics.Set) {
	set := metrics.NewSet()
	return New(Config{Endpoint: url + "/v1/traces", Headers: http.Header{"X-Key": {"k"}}, Version: "v1", Metrics: set, Logger: slog.New(slog.NewTextHandler(log, nil))}), set
}

func closeSink(t *testing.T, s *Sink) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func sample() *tracing.Span {
	start := time.Unix(1000, 0)
	return &tracing.Span{
		Trace: tracing.NewTraceID(), ID: tracing.NewSpanID(), Parent: tracing.NewSpanID(), State: "a=b", Start: start, End: start.Add(time.Second),
		Request: tracing.Request{
			Method: "GET", Host: "a.test:8080", Path: "/x", Query: "q=1", Protocol: "1.1", Secure: true, UserAgent: "curl", ID: "id-1",
			Client: netip.MustParseAddrPort("[::ffff:192.0.2.1]:4711"), For: netip.MustParseAddr("2001:db8::1"), Listener: ":443", Route: "/", Service: "web",
		},
		Outcome: tracing.Outcome{Status: 502, Reason: "backend_reset", Failed: true, Err: "broken", GRPC: -1, In: 1, Out: 2},
		Upstream: tracing.Upstream{
			ID: tracing.NewSpanID(), Start: start.Add(time.Millisecond), Backend: "192.0.2.9:80", Protocol: "http", Strategy: "p2c",
			Retries: []tracing.Retry{{At: start.Add(time.Millisecond), Backend: "192.0.2.8:80", Reason: "connect_failed", Err: "refused"}},
		},
	}
}

// TestEmit decodes what a collector gets.
func TestEmit(t *testing.T) {
	t.Parallel()
	c := otlptest.Start(t)
	s, set := newSink(t, c.URL(), &log{})
	want := sample()
	s.Emit(want)
	alone := sample()
	alone.Parent, alone.State, alone.Upstream.Start = tracing.SpanID{}, "", time.Time{}
	s.Emit(alone)
	closeSink(t, s)
	spans := c.Spans(3)
	if n := set.GetOrCreateCounter("sluice_otlp_spans_total").Get(); len(spans) != 3 || n != 3 {
		t.Fatalf("unexpected number of spans: %d, %d counted", len(spans), n)
	}
	resource, headers := c.Resource()
	if resource["service.name"] != "sluice" || resource["service.version"] != "v1" || headers.Get("X-Key") != "k" {
		t.Errorf("unexpected resource %v, headers %v", resource, headers)
	}
	client, server := spans[0], spans[1]
	is := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("unexpected %s: %v; want %v", what, got, want)
		}
	}
	is("kind of the server's span", server.Kind, pb.Span_SPAN_KIND_SERVER)
	is("kind of the client's span", client.Kind, pb.Span_SPAN_KIND_CLIENT)
	is("trace", tracing.TraceID(server.TraceId), want.Trace)
	is("trace of the client's span", tracing.TraceID(client.TraceId), want.Trace)
	is("ID", tracing.SpanID(server.SpanId), want.ID)
	is("parent", tracing.SpanID(server.ParentSpanId), want.Parent)
	is("state", server.TraceState, "a=b")
	is("ID of the client's span", tracing.SpanID(client.SpanId), want.Upstream.ID)
	is("its parent", tracing.SpanID(client.ParentSpanId), want.ID)
	is("name", server.Name, "GET /")
	is("name of the client's span", client.Name, "GET")
	is("duration", server.EndTimeUnixNano-server.StartTimeUnixNano, uint64(time.Second))
	is("status", server.Status.Code, pb.Status_STATUS_CODE_ERROR)
	for key, value := range map[string]string{
		"http.request.method": "GET", "http.response.status_code": "502", "url.scheme": "https", "url.path": "/x", "url.query": "q=1", "server.address": "a.test", "server.port": "8080",
		"client.address": "2001:db8::1", "network.peer.address": "192.0.2.1", "network.protocol.version": "1.1", "user_agent.original": "curl", "http.route": "/",
		"error.type": "backend_reset", "sluice.service": "web", "sluice.reason": "backend_reset",
	} {
		is("attribute "+key, otlptest.Attributes(server.Attributes)[key], value)
	}
	for key, value := range map[string]string{"server.address": "192.0.2.9", "server.port": "80", "http.request.resend_count": "1", "sluice.strategy": "p2c"} {
		is("attribute of the client's span "+key, otlptest.Attributes(client.Attributes)[key], value)
	}
	if len(client.Events) != 1 || client.Events[0].Name != "retry" || otlptest.Attributes(client.Events[0].Attributes)["sluice.reason"] != "connect_failed" {
		t.Errorf("unexpected events: %v", client.Events)
	}
	if root := spans[2]; len(root.ParentSpanId) != 0 || root.Kind != pb.Span_SPAN_KIND_SERVER {
		t.Errorf("unexpected span without a parent: %v", root)
	}
}

// TestCollectorTrouble counts what a collector does not take, and asks again where it
// wants that.
func TestCollectorTrouble(t *testing.T) {
	t.Parallel()
	c := otlptest.Start(t)
	said := &log{}
	f := func(wantSent, wantExport, wantRejected uint64, answers ...func(http.ResponseWriter)) {
		t.Helper()
		s, set := newSink(t, c.URL(), said)
		c.Answer(answers...)
		s.Emit(sample())
		closeSink(t, s)
		count := func(reason string) uint64 {
			return set.GetOrCreateCounter(tracing.Dropped + `{reason="` + reason + `"}`).Get()
		}
		if sent := set.GetOrCreateCounter("sluice_otlp_spans_total").Get(); sent != wantSent || count("export") != wantExport || count("rejected") != wantRejected {
			t.Errorf("unexpected counts: %d sent, %d not taken, %d rejected; want %d, %d, %d", sent, count("export"), count("rejected"), wantSent, wantExport, wantRejected)
		}
	}
	status := func(code int) func(http.ResponseWriter) { return func(w http.ResponseWriter) { w.WriteHeader(code) } }
	f(2, 0, 0, status(503))
	f(0, 2, 0, status(400))
	partial := protowire.AppendString(protowire.AppendTag(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1), 2, protowire.BytesType), "too old")
	f(2, 0, 1, func(w http.ResponseWriter) {
		_, _ = w.Write(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial))
	})
	f(2, 0, 0, func(w http.ResponseWriter) { _, _ = w.Write([]byte{0xff, 0xff, 0x0a}) }) // what it says is nothing
	if text := said.String(); !strings.Contains(text, "400 Bad Request") || !strings.Contains(text, "too old") {
		t.Errorf("unexpected log: %s", text)
	}
	// Nobody is there.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s, set := newSink(t, "http://"+l.Addr().String(), &log{})
	s.Emit(sample())
	lost := set.GetOrCreateCounter(tracing.Dropped + `{reason="export"}`)
	for end := time.Now().Add(30 * time.Second); lost.Get() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("spans that nobody takes are not counted")
		}
	}
	// While it is away no more are made; in the end it is asked again.
	s.exporter.until.Store(int64(time.Hour))
	s.Emit(sample())
	if n := lost.Get(); n != 4 {
		t.Errorf("unexpected number of spans that nobody took: %d", n)
	}
	s.exporter.until.Store(0)
	s.Emit(sample())
	closeSink(t, s)
	if n := lost.Get(); n != 6 {
		t.Errorf("unexpected number of spans that nobody took: %d", n)
	}
}
