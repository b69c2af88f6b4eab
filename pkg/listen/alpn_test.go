package listen

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

func TestPassable(t *testing.T) {
	t.Parallel()
	f := func(want string, offered ...string) {
		t.Helper()
		if got := passable(offered); got != want {
			t.Fatalf("unexpected protocol out of %q; got %q; want %q", offered, got, want)
		}
	}
	f("")
	f("h2", "h2")
	f("postgresql", "postgresql")
	f("http/1.1", "h2", "http/1.1")
	f("", "h2", "grpc-exp")
}

// TestNegotiateAlert refuses with the alert of RFC 7301, by which clients know
// what is wrong.
func TestNegotiateAlert(t *testing.T) {
	t.Parallel()
	cfg := serverConfig(t)
	Negotiate(cfg, "http/1.1")
	got := make(chan error, 1)
	_, _, err := greet(t, Config{TLS: cfg}, func(far net.Conn) {
		got <- tls.Client(far, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}).Handshake()
	})
	if err == nil {
		t.Fatal("no error")
	}
	if err := <-got; err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Fatalf("unexpected error of the client: %v", err)
	}
}

// TestPlainHTTP answers who speaks HTTP where TLS is spoken, whatever else it
// sends, and counts it.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	l, err := Listen(Config{
		Kind: "l4", Name: "db", Address: "127.0.0.1:0", TLS: serverConfig(t), Logger: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.AcceptConn()
			if err != nil {
				return
			}
			go func() { _, _ = c.Handshake(t.Context()) }()
		}
	}()
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD /x HTTP/1.0\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(c, request) }()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%.20q: %v", request, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 400 || !strings.Contains(string(body), "HTTPS") {
			t.Fatalf("%.20q: unexpected answer %d %q, error %v", request, resp.StatusCode, body, err)
		}
		if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil || resp.Header.Get("X-Sluice-Reason") != "tls_handshake" {
			t.Fatalf("%.20q: unexpected header %v, error %v", request, resp.Header, err)
		}
		c.Close()
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "EHLO example.com\r\n")
	if b, _ := io.ReadAll(c); strings.Contains(string(b), "HTTP") {
		t.Fatalf("unexpected answer to SMTP: %q", b)
	}
	c.Close()
	if got := l.rejected[TLSHandshake].Get(); got != 5 {
		t.Fatalf("unexpected rejects; got %d; want 5", got)
	}
}
