package health

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
)

// TestAutoCheck has a backend take connections, and answer at first in some way
// and later in another.
func TestAutoCheck(t *testing.T) {
	t.Parallel()
	const silence = "-"
	f := func(first, later string, want error) {
		t.Helper()
		asked := make(chan string, 100)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		next := make(chan string, 100) // what each connection is answered
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					b := make([]byte, 1000)
					n, err := c.Read(b)
					if err != nil {
						return
					}
					asked <- string(b[:n])
					if s := <-next; s != silence {
						_, _ = io.WriteString(c, s)
						return
					}
					_, _ = c.Read(b)
				}()
			}
		}()
		check := NewAutoCheck(Via{})
		next <- first
		if r, err := check.Probe(t.Context(), ln.Addr().String()); err != nil || r.Tested != Connect {
			t.Fatalf("unexpected first result, answered by %q: %+v, %v", first, r, err)
		}
		next <- later
		ctx, cancel := context.WithTimeout(t.Context(), 2*learnTime)
		defer cancel()
		if _, err := check.Probe(ctx, ln.Addr().String()); !errors.Is(err, want) {
			t.Fatalf("unexpected second result, answered by %q after %q; got %v; want %v", later, first, err, want)
		}
		n := len(asked)
		ctx = context.WithValue(t.Context(), answersClients{}, true)
		if _, err := check.Probe(ctx, ln.Addr().String()); err != nil || len(asked) != n {
			t.Fatalf("a backend that answers clients was asked, or failed: %v", err)
		}
	}
	status := func(code string) string { return "HTTP/1.1 " + code + "\r\nContent-Length: 0\r\n\r\n" }
	for _, sensible := range []string{status("200 OK"), status("404 Not Found"), status("405 No"), status("501 No")} {
		f(sensible, sensible, nil)
		f(sensible, status("503 No"), nil) // / is no page for checks
		f(sensible, silence, errSilent)
		f(sensible, "garbage\r\n", nil) // and not silent
	}
	for _, other := range []string{status("500 Broken"), "-ERR what?\r\n", silence} {
		f(other, silence, nil)
	}

	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	if _, err := NewAutoCheck(Via{}).Probe(t.Context(), gone.Addr().String()); !unreachable(err) {
		t.Fatalf("unexpected error of a backend that refuses: %v", err)
	}
}
