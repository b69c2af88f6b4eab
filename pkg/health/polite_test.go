package health

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/proxyproto"
	"sluice/pkg/proxyproto/proxyprototest"
)

// serve calls handle for each connection that is accepted.
func serve(t *testing.T, handle func(c *net.TCPConn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go handle(c.(*net.TCPConn))
		}
	}()
	return ln.Addr().String()
}

func parse(t *testing.T, spec string, via Via) Check {
	t.Helper()
	check, err := ParseCheck(spec, via)
	if err != nil {
		t.Fatal(err)
	}
	return check
}

// TestTCPCheckIsNotNoticed makes checks of a server and then one connection:
// that is the first one that the server ever hears of. Where the machine was so
// slow that a handshake was completed, the check ends by a FIN.
func TestTCPCheckIsNotNoticed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("it is noticed, and ends by a FIN")
	}
	heard := make(chan error, 1000)
	addr := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		b := make([]byte, 1)
		n, err := c.Read(b)
		if n == 1 {
			err = errors.New("the last one")
		}
		heard <- err
	})
	const checks = 50
	for range checks {
		if r, err := parse(t, "tcp", Via{}).Probe(t.Context(), addr); err != nil || r.Tested != Connect {
			t.Fatalf("unexpected result: %+v, %v", r, err)
		}
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("x"))
	for noticed := 0; ; noticed++ {
		err := <-heard
		if err.Error() == "the last one" {
			if noticed > checks/5 {
				t.Fatalf("%d of %d checks were noticed", noticed, checks)
			}
			return
		}
		if !errors.Is(err, io.EOF) {
			t.Fatalf("a check that was noticed ended by %v; want a FIN", err)
		}
	}
}

// TestChecksEndPolitely makes every kind of check that speaks with a server
// which has more to say than the check wants to hear: none ends by a reset, and
// TLS by its alert.
func TestChecksEndPolitely(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	cert, key := ca.Write(t, "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	f := func(spec string, version int, secure bool) {
		t.Helper()
		ended := make(chan error, 1)
		addr := serve(t, func(c *net.TCPConn) {
			defer c.Close()
			nc := net.Conn(c)
			if version > 0 {
				_, _, rest, err := proxyprototest.Read(c, proxyproto.Versions(version))
				if err != nil {
					ended <- err
					return
				}
				if len(rest) > 0 && !secure {
					t.Errorf("unexpected bytes after the header: %q", rest)
				}
				nc = &prefixed{c, io.MultiReader(bytes.NewReader(rest), c)}
			}
			if secure {
				nc = tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{pair}})
			}
			_, err := io.WriteString(nc, "hello, and this is the end of the greeting that is looked at\r\n")
			for err == nil {
				_, err = nc.Read(make([]byte, 100))
			}
			ended <- err
		})
		via := Via{ProxyOut: version}
		if secure {
			via.TLS = &tls.Config{InsecureSkipVerify: true}
		}
		if _, err := parse(t, spec, via).Probe(t.Context(), addr); err != nil {
			t.Fatalf("unexpected error of %s via %+v: %v", spec, via, err)
		}
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Fatalf("unexpected end of %s via %+v; got %v; want EOF", spec, via, err)
		}
	}
	for version := range 3 {
		for _, secure := range []bool{false, true} {
			if version > 0 || secure {
				f("tcp", version, secure)
			}
			f("tcp expect=hello", version, secure)
		}
	}
}

// TestHTTPCheckReadsTheBody has a server see how a check ends that asked for a
// page with a body.
func TestHTTPCheckReadsTheBody(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	addr := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		_, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100000))
		}
		for err == nil {
			_, err = c.Read(make([]byte, 100))
		}
		ended <- err
	})
	if _, err := parse(t, "http:/", Via{}).Probe(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Fatalf("unexpected end; got %v; want EOF", err)
	}
}
