package accesslog

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// TestCommon has lines as Apache and nginx write them, whatever clients say.
func TestCommon(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 29, 19, 5, 7, 0, time.FixedZone("", -7*3600))
	client := netip.MustParseAddrPort("[::ffff:192.0.2.1]:4711")
	f := func(format Format, r Record, want string) {
		t.Helper()
		out := &output{}
		r.Time = at
		l := New(Config{Sinks: []Sink{{Out: out, Format: format}}, Metrics: metrics.NewSet()})
		l.Add(&r)
		closeLog(t, l)
		if got := out.buf.String(); got != want+"\n" {
			t.Errorf("unexpected line\n got %q\nwant %q", got, want)
		}
	}
	request := Record{
		Client: client, Method: []byte("GET"), Path: []byte("/a b\"\\"), Protocol: "HTTP/1.1", Status: 200, Out: 512,
		Fields: []Field{{"referer", []byte("http://a.test/\xff")}, {"user_agent", []byte("curl\n1")}, {"user", []byte("a b")}, {"query", []byte("x=1")}},
	}
	f(CommonLog, request, `192.0.2.1 - a\x20b [29/Nov/2026:19:05:07 -0700] "GET /a b\"\\?x=1 HTTP/1.1" 200 512`)
	f(CombinedLog, request, `192.0.2.1 - a\x20b [29/Nov/2026:19:05:07 -0700] "GET /a b\"\\?x=1 HTTP/1.1" 200 512 "http://a.test/\xff" "curl\x0a1"`)
	f(CombinedLog, Record{Client: client, For: netip.MustParseAddr("2001:db8::1"), Method: []byte("HEAD"), Path: []byte("/"), Protocol: "HTTP/2.0", Status: 304},
		`2001:db8::1 - - [29/Nov/2026:19:05:07 -0700] "HEAD / HTTP/2.0" 304 - "-" "-"`)
	f(CommonLog, Record{Client: client, Protocol: "HTTP/1.1", Status: 400, Out: 3}, `192.0.2.1 - - [29/Nov/2026:19:05:07 -0700] "-" 400 3`)
	f(CommonLog, Record{Client: client, Service: "db", Reason: "client_eof", Out: 77}, `192.0.2.1 - - [29/Nov/2026:19:05:07 -0700] "TCP db client_eof" 200 77`)
	f(CommonLog, Record{Service: "db", Reason: "dial_failed", Failed: true}, `- - - [29/Nov/2026:19:05:07 -0700] "TCP db dial_failed" 502 -`)
}

// TestSinks has two sinks with forms of their own, one with a header.
func TestSinks(t *testing.T) {
	t.Parallel()
	a, b := &output{}, &output{}
	l := New(Config{Metrics: metrics.NewSet(), Sinks: []Sink{{Out: a}, {Out: b, Format: CommonLog, Header: func(dst []byte, _ time.Time, failed bool) []byte {
		if failed {
			return append(dst, "bad "...)
		}
		return append(dst, "good "...)
	}}}})
	for i := range 2000 {
		l.Add(&Record{Method: []byte("GET"), Path: bytes.Repeat([]byte("x"), 100), Protocol: "HTTP/1.1", Status: 200 + 300*(i%2)})
	}
	closeLog(t, l)
	if n := len(a.lines(t)); n != 2000 {
		t.Errorf("unexpected number of lines in JSON: %d", n)
	}
	text := b.buf.String()
	if good, bad := strings.Count(text, "good - - - ["), strings.Count(text, "bad - - - ["); good != 1000 || bad != 1000 || strings.Count(text, "\n") != 2000 {
		t.Errorf("unexpected lines with headers: %d good, %d bad of %d", good, bad, strings.Count(text, "\n"))
	}
}
