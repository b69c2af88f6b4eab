package admin

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestConnsAreBounded opens more connections than may be: those that wait make
// room, and who asks is answered.
func TestConnsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 4
	s, err := NewHealth("127.0.0.1:0", nil, most, func() Readiness { return Readiness{Ready: true} }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve() }()
	t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
	addr := s.Addr().String()
	var held []net.Conn
	for range 5 * most {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
		probe, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = probe.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(probe, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(probe), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("unexpected answer to a probe: %v, %v", resp, err)
		}
		resp.Body.Close()
		probe.Close()
	}
	for _, c := range held[:len(held)-most] { // the others have made room for them
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("unexpected byte")
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // as it comes from the net
			t.Fatal("a connection beyond the bound stays open")
		}
	}
}
