package l4_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/listen"
	"sluice/pkg/proxyproto"
)

// TestSilentClients leads clients that say nothing to the service for all
// others, and those that begin a ClientHello, however slowly, to their own.
func TestSilentClients(t *testing.T) { eachDriver(t, testSilentClients) }

func testSilentClients(t *testing.T) {
	ca := certificatetest.NewAuthority(t)
	named := l4.Route{Name: "a.example", Service: l4.Service{Balancer: balancerOf(t, "a", serveTLS(t, "a", storeOf(t, ca, "a.example").Server()))}}
	other := l4.Route{Service: l4.Service{Balancer: balancerOf(t, "mail", serveGreeting(t, "220 mail", 0))}}
	f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{named, other}, HelloWait: 50 * time.Millisecond})
	proxied := start(t, listen.Config{Proxy: proxyproto.Policy{Versions: proxyproto.V2}}, l4.Config{Routes: []l4.Route{named, other}, HelloWait: 50 * time.Millisecond})
	for _, g := range []*fixture{f, proxied} {
		c := g.dial()
		if g == proxied {
			_, _ = c.Write(proxyproto.Append(nil, 2, proxyproto.Proxy, target, target))
		}
		r := bufio.NewReader(c)
		if got := line(t, r); got != "220 mail" {
			t.Fatalf("unexpected greeting %q", got)
		}
		_, _ = io.WriteString(c, "HELO\n")
		if got := line(t, r); got != "HELO" {
			t.Fatalf("unexpected echo %q", got)
		}
		c.Close()
	}

	// Whoever has begun a ClientHello is waited for beyond that time. The
	// listener of before answers meanwhile, which shows that it is over.
	slow := f.dial()
	hello := &recorded{}
	_ = tls.Client(hello, &tls.Config{ServerName: "a.example", RootCAs: ca.Pool()}).Handshake()
	_, _ = slow.Write(hello.written[:7])
	for range 2 {
		c := f.dial()
		line(t, bufio.NewReader(c))
		c.Close()
	}
	_, _ = slow.Write(hello.written[7:])
	first := make([]byte, 1)
	if _, err := io.ReadFull(slow, first); err != nil || first[0] != 0x16 {
		t.Fatalf("unexpected answer to a slow ClientHello: %x, %v", first, err)
	}
	slow.Close()

	// Without such a service it is refused, when the handshake's time is over.
	strict := start(t, listen.Config{HandshakeTimeout: 200 * time.Millisecond}, l4.Config{Routes: []l4.Route{named}, HelloWait: time.Millisecond})
	if b, err := io.ReadAll(strict.dial()); len(b) > 0 {
		t.Fatalf("unexpected bytes %q, error %v", b, err)
	}
	strict.shutdown()
	if got := strict.metric("sluice_listener_rejected_total", "tls_handshake"); got != "1" {
		t.Fatalf("unexpected rejects; got %s; want 1", got)
	}
}

// recorded is a connection that keeps what is written and answers nothing.
type recorded struct {
	net.Conn
	written []byte
}

func (r *recorded) Write(p []byte) (int, error) {
	r.written = append(r.written, p...)
	return len(p), nil
}
func (r *recorded) Read([]byte) (int, error)           { return 0, io.EOF }
func (r *recorded) Close() error                       { return nil }
func (r *recorded) SetDeadline(time.Time) error        { return nil }
func (r *recorded) SetReadDeadline(t time.Time) error  { return nil }
func (r *recorded) SetWriteDeadline(t time.Time) error { return nil }

// metric returns the value of the series of a metric that has a label value.
func (f *fixture) metric(name, label string) string {
	var b bytes.Buffer
	f.set.WritePrometheus(&b)
	for l := range strings.Lines(b.String()) {
		if strings.HasPrefix(l, name+"{") && strings.Contains(l, fmt.Sprintf("%q", label)) {
			return strings.TrimSpace(l[strings.LastIndexByte(l, ' '):])
		}
	}
	return ""
}

// TestProxyHeaderIsNotTraffic counts the client's bytes, not those that sluice
// puts before them: in metrics, in the backend's counters, and where they tell
// whether the client has said anything.
func TestProxyHeaderIsNotTraffic(t *testing.T) { eachDriver(t, testProxyHeaderIsNotTraffic) }

func testProxyHeaderIsNotTraffic(t *testing.T) {
	for version := 1; version <= 2; version++ {
		for _, sent := range []string{"", "x", strings.Repeat("y", 100<<10)} {
			f := start(t, listen.Config{}, l4.Config{Routes: []l4.Route{{Service: l4.Service{
				Balancer: balancerOf(t, "db", serveGreeting(t, "a", proxyproto.Versions(version))), ProxyOut: version,
			}}}})
			c := f.dial()
			go func() { _, _ = io.WriteString(c, sent); _ = c.CloseWrite() }()
			if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), sent) {
				t.Fatalf("unexpected answer of %d bytes, error %v", len(b), err)
			}
			f.shutdown()
			if got := f.metric("sluice_l4_bytes_total", "in"); got != fmt.Sprint(len(sent)) {
				t.Fatalf("unexpected bytes of a client behind a header of version %d; got %s; want %d", version, got, len(sent))
			}
			if got := f.pool.Snapshot().All[0].Counters.BytesIn.Load(); got != uint64(len(sent)) {
				t.Fatalf("unexpected bytes to the backend; got %d; want %d", got, len(sent))
			}
		}
	}
}

// TestProbesLeaveNoTrace connects and ends, by FIN and by RST, before whatever
// has to come first: nothing is rejected and nothing logged, as nobody was
// there who wanted something. Those that have said something are.
func TestProbesLeaveNoTrace(t *testing.T) { eachDriver(t, testProbesLeaveNoTrace) }

func testProbesLeaveNoTrace(t *testing.T) {
	ca := certificatetest.NewAuthority(t)
	db := l4.Service{Balancer: balancerOf(t, "db", serveGreeting(t, "a", 0))}
	header := proxyproto.Policy{Versions: proxyproto.V1 | proxyproto.V2}
	for _, x := range []struct {
		name  string
		lc    listen.Config
		sni   string
		send  string
		wants string // the reason of the reject
	}{
		{"PROXY", listen.Config{Proxy: header}, "", "", ""},
		{"PROXY", listen.Config{Proxy: header}, "", "PROXY TC", "proxy_header"},
		{"SNI", listen.Config{}, "a.example", "", ""},
		{"SNI", listen.Config{}, "a.example", "\x16\x03\x01\x02", "tls_handshake"},
		{"TLS", listen.Config{TLS: storeOf(t, ca, "a.example").Server()}, "", "", ""},
		{"TLS", listen.Config{TLS: storeOf(t, ca, "a.example").Server()}, "", "\x16\x03\x01\x02", "tls_handshake"},
		{"PROXY and TLS", listen.Config{Proxy: header, TLS: storeOf(t, ca, "a.example").Server()}, "", "", ""},
		{"PROXY and TLS", listen.Config{Proxy: header, TLS: storeOf(t, ca, "a.example").Server()}, "", "PROXY UNKNOWN\r\n", ""},
	} {
		for _, reset := range []bool{false, true} {
			if reset && x.wants != "" {
				continue // a reset may drop what was sent before anybody has read it
			}
			var log bytes.Buffer
			lc := x.lc
			lc.Logger = slog.New(slog.NewTextHandler(&log, nil))
			f := start(t, lc, l4.Config{Routes: []l4.Route{{Name: x.sni, Service: db}}})
			c := f.dial()
			_, _ = io.WriteString(c, x.send)
			if reset {
				// So that it is the reset that is seen, not a connection that
				// the kernel drops before it is accepted.
				waitFor(t, func() bool { return f.ln.Open() == 1 })
				_ = c.SetLinger(0)
			}
			c.Close()
			f.shutdown()
			if got := f.metric("sluice_listener_accepted_total", "db"); got != "1" {
				t.Fatalf("%s: unexpected connections accepted: %s", x.name, got)
			}
			rejected := ""
			for _, reason := range []string{"proxy_header", "tls_handshake", "no_route"} {
				if f.metric("sluice_listener_rejected_total", reason) == "1" {
					rejected += reason
				}
			}
			if rejected != x.wants || (log.Len() > 0) != (x.wants != "") {
				t.Errorf("%s after %q, reset %v: unexpected rejects %q, log %q; want %q", x.name, x.send, reset, rejected, log.String(), x.wants)
			}
		}
	}
}
