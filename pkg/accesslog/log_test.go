package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const patience = 30 * time.Second

// output collects what is written; gate, if not nil, is read from before.
type output struct {
	gate   chan struct{}
	mu     sync.Mutex
	buf    bytes.Buffer
	writes int
}

func (o *output) Write(p []byte) (int, error) {
	if o.gate != nil {
		<-o.gate
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes++
	return o.buf.Write(p)
}

// lines returns the lines that were written, decoded.
func (o *output) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range bytes.Lines(o.buf.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("unexpected line %q: %v", line, err)
		}
		lines = append(lines, m)
	}
	return lines
}

func closeLog(t *testing.T, l *Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	out := &output{}
	l := New(Config{Sinks: []Sink{{Out: out}}, Metrics: metrics.NewSet()})
	path := []byte("/a/b")
	r := Record{
		Message: "request", Listener: "l7", Time: time.Unix(1000, 0).UTC(), Client: netip.MustParseAddrPort("192.0.2.1:4711"), For: netip.MustParseAddr("2001:db8::1"),
		Method: []byte("GET"), Host: []byte("a.test"), Path: path, Status: 502, RequestID: []byte("id-1"), TraceID: []byte("abc"),
		Fields: []Field{{"query", path}, {"referer", nil}, {"user_agent", []byte("a\"\x00\xff")}},
		In:     1, Out: 2, Duration: 5, Wait: 1, Connect: 2, Response: 3,
		Service: "web", Backend: "192.0.2.9:80", Strategy: "p2c", Retries: 2, Reason: "backend_reset", Err: errors.New("broken"),
	}
	l.Add(&r)
	copy(path, "////") // is the caller's again
	l.Add(&Record{Message: "connection ended", Listener: "l4", In: 3, Duration: 7, Reason: "client_eof"})
	l.Add(&Record{Method: []byte("GET"), Path: bytes.Repeat([]byte("x"), 5000)})
	closeLog(t, l)
	got := out.lines(t)
	want := []map[string]any{
		{
			"time": "1970-01-01T00:16:40Z", "level": "WARN", "msg": "request", "listener": "l7", "client": "192.0.2.1:4711", "for": "2001:db8::1",
			"method": "GET", "host": "a.test", "path": "/a/b", "status": 502.0, "request_id": "id-1", "trace_id": "abc", "query": "/a/b", "user_agent": "a\"\x00\ufffd",
			"in": 1.0, "out": 2.0, "duration": "5ns", "wait": "1ns", "connect": "2ns", "response": "3ns",
			"service": "web", "backend": "192.0.2.9:80", "strategy": "p2c", "retries": 2.0, "reason": "backend_reset", "err": "broken",
		},
		{"time": "0001-01-01T00:00:00Z", "level": "INFO", "msg": "connection ended", "listener": "l4", "in": 3.0, "out": 0.0, "duration": "7ns", "reason": "client_eof"},
		{"time": "0001-01-01T00:00:00Z", "level": "INFO", "msg": "", "method": "GET", "path": strings.Repeat("x", maxText), "status": 0.0, "in": 0.0, "out": 0.0, "duration": "0s"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("unexpected lines\ngot  %v\nwant %v", got, want)
	}
}

// FuzzJSON holds the lines against those of slog's handler.
func FuzzJSON(f *testing.F) {
	f.Add("request", "GET", "a.test", "/x", "id", 200, int64(5), int64(1_500_000), "192.0.2.1:80", "broken", true)
	f.Add("", "", "", "", "", 0, int64(0), int64(0), "", "", false)
	f.Add("q\"\\", "G\x00\n\t", "\xff\xfe", "/ä€\u2028😀", "\x7f<&>", -1, int64(-5), int64(-1), "[fe80::1%x\"]:1", "\b\f", true)
	f.Fuzz(func(t *testing.T, msg, method, host, path, id string, status int, n, d int64, client, cause string, failed bool) {
		r := Record{
			Message: msg, Listener: "l7", Time: time.Unix(n%1e9, d%1e9).UTC(), Method: []byte(method), Host: []byte(host), Path: []byte(path),
			Status: status, RequestID: []byte(id), TraceID: []byte(id), In: n, Out: -n, Duration: time.Duration(d), Wait: time.Duration(d / 2), Connect: 1,
			Service: msg, Backend: host, Strategy: path, Retries: status, Reason: id, Detail: msg, Failed: failed,
			Fields: []Field{{"request.x-y", []byte(path)}, {"query", []byte(host)}},
		}
		r.Client, _ = netip.ParseAddrPort(client)
		r.For = r.Client.Addr()
		if cause != "" {
			r.Err = errors.New(cause)
		}
		var s slot
		s.set(&r)
		var theirs bytes.Buffer
		h := slog.NewJSONHandler(&theirs, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}})
		if err := h.Handle(t.Context(), s.record()); err != nil {
			t.Fatal(err)
		}
		ours := s.appendJSON(nil)
		if bytes.Count(ours, []byte("\n")) != 1 {
			t.Fatalf("not one line: %q", ours)
		}
		var got, want map[string]any
		if err := json.Unmarshal(ours, &got); err != nil {
			t.Fatalf("%q: %v", ours, err)
		}
		if err := json.Unmarshal(theirs.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("unexpected line; got %s; want %s", ours, theirs.Bytes())
		}
		if plain := msg + method + host + path + id + cause; !strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("<>&", r) }) && !bytes.Equal(ours, theirs.Bytes()) {
			t.Fatalf("unexpected line; got %s; want %s", ours, theirs.Bytes())
		}
	})
}

func TestSample(t *testing.T) {
	t.Parallel()
	out := &output{}
	l := New(Config{Sinks: []Sink{{Out: out}}, Sample: 10, Metrics: metrics.NewSet()})
	for range 100 {
		l.Add(&Record{Status: 200})
		l.Add(&Record{Status: 404})
	}
	for range 7 {
		l.Add(&Record{Status: 503})
		l.Add(&Record{Failed: true})
	}
	closeLog(t, l)
	count := make(map[any]int)
	for _, line := range out.lines(t) {
		count[line["level"]]++
	}
	if count["INFO"] != 20 || count["WARN"] != 14 {
		t.Fatalf("unexpected lines by level: %v", count)
	}
}

// TestStalledOutput has an output that blocks: nobody waits for it, what does
// not fit is counted, and what does fit is written once it can be.
func TestStalledOutput(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	out := &output{gate: make(chan struct{})}
	l := New(Config{Sinks: []Sink{{Out: out}}, Queue: 100, Metrics: set})
	const all = 10_000
	for range all {
		l.Add(&Record{Status: 200})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("unexpected end while the output is stalled: %v", err)
	}
	close(out.gate)
	closeLog(t, l)
	dropped, written := int(l.dropped.Get()), int(l.written.Get())
	// One batch may have been taken out of the queue before the rest came.
	if lines := len(out.lines(t)); lines != written || written+dropped != all || written < 100 || written > 300 {
		t.Fatalf("unexpected numbers: %d lines, %d written, %d dropped", lines, written, dropped)
	}
	l.Add(&Record{})
	if int(l.dropped.Get()) != dropped+1 {
		t.Fatal("what came after the end is not counted as dropped")
	}
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	out := &output{}
	l := New(Config{Sinks: []Sink{{Out: out}}, Metrics: metrics.NewSet()})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				id := fmt.Appendf(nil, "%d-%d", g, i)
				l.Add(&Record{RequestID: id})
				clear(id)
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	seen := make(map[any]bool)
	for _, line := range out.lines(t) {
		seen[line["request_id"]] = true
	}
	if len(seen) != 4000 {
		t.Fatalf("unexpected number of different records; got %d; want 4000", len(seen))
	}
	if out.writes > 400 {
		t.Errorf("unexpected number of writes for 4000 records: %d", out.writes)
	}
}
