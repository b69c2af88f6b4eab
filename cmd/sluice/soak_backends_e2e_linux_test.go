package main

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echoUpgraded switches protocols and echoes, and now and then resets.
func echoUpgraded(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if rand.IntN(10) == 0 {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_, _ = io.CopyN(conn, rw, rand.Int64N(1000))
		return
	}
	_, _ = io.Copy(conn, rw) // its end is the connection's
}

// roughBackend takes connections, HTTP or not, and ends them in all the ways
// in which they end.
func roughBackend(t *testing.T, seed uint64) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	var n atomic.Uint64
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				tcp := conn.(*net.TCPConn)
				c := chaos{rand.New(rand.NewPCG(seed, n.Add(1)))}
				_ = tcp.SetDeadline(time.Now().Add(3 * time.Second))
				if c.IntN(8) == 0 {
					_ = tcp.SetLinger(0)
					return
				}
				b := make([]byte, 4096)
				read, _ := tcp.Read(b)
				if head := string(b[:read]); strings.HasPrefix(head, "GET ") || strings.HasPrefix(head, "POST ") {
					_, _ = io.WriteString(tcp, one(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", "HTTP/1.1 200 OK\r\n\r\n", ""))
				}
				switch c.IntN(6) {
				case 0:
					_ = tcp.SetLinger(0)
				case 1:
					_, _ = tcp.Write(make([]byte, c.IntN(100_000)))
					_ = tcp.SetLinger(0)
				case 2:
					_ = tcp.CloseWrite()
					_, _ = io.Copy(io.Discard, tcp)
				case 3:
					_, _ = tcp.Write(make([]byte, 1_000_000))
				case 4:
					time.Sleep(c.within(3 * time.Second))
				case 5:
					for range 20 {
						time.Sleep(c.within(50 * time.Millisecond))
						_, _ = tcp.Write([]byte("x"))
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}
