package accesslog

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

func typical() *Record {
	return &Record{
		Message: "request", Listener: "l7", Time: time.Now(), Client: netip.MustParseAddrPort("192.0.2.1:4711"),
		Method: []byte("GET"), Host: []byte("www.example.com"), Path: []byte("/api/v1/things/4711"), Status: 200,
		RequestID: []byte("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), TraceID: []byte("0af7651916cd43dd8448eb211c80319c"),
		Out: 1234, Duration: 5 * time.Millisecond, Response: 4 * time.Millisecond, Service: "web", Strategy: "p2c",
	}
}

// BenchmarkAdd is what an event loop pays.
func BenchmarkAdd(b *testing.B) {
	l := New(Config{Sinks: []Sink{{Out: io.Discard}}, Metrics: metrics.NewSet()})
	r := typical()
	b.ReportAllocs()
	for b.Loop() {
		l.Add(r)
	}
}

// BenchmarkWrite is what the writer pays.
func BenchmarkWrite(b *testing.B) {
	var s slot
	s.set(typical())
	b.Run("json", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = s.appendJSON(buf[:0])
		}
	})
	b.Run("slog", func(b *testing.B) {
		h := slog.NewJSONHandler(io.Discard, nil)
		b.ReportAllocs()
		for b.Loop() {
			_ = h.Handle(b.Context(), s.record())
		}
	})
}
