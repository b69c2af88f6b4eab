package l7

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/listen"
)

const (
	benchRequest  = "GET /index.html HTTP/1.1\r\nHost: example.test\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"
	benchResponse = "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
)

// benchBackend answers every request of a keep-alive connection without
// looking at it.
func benchBackend(b testing.TB) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf, response := make([]byte, 4096), []byte(benchResponse)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(response); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func benchGet(b *testing.B, addr string) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		br := bufio.NewReader(c)
		for pb.Next() {
			if _, err := io.WriteString(c, benchRequest); err != nil {
				b.Error(err)
				return
			}
			for seen := 0; ; { // up to the end of the body
				line, err := br.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if seen++; len(line) == 2 {
					break
				}
			}
			if _, err := br.Discard(len("hello")); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	set := metrics.NewSet()
	logger := slog.New(slog.DiscardHandler)
	pool := backend.NewPool("web")
	addr := benchBackend(b)
	pool.Set([]backend.Target{{ID: addr, Address: addr, Weight: 1}})
	bal, err := balance.New(pool, "p2c")
	if err != nil {
		b.Fatal(err)
	}
	ln, err := listen.Listen(listen.Config{Kind: "l7", Name: "bench", Address: "127.0.0.1:0", Logger: logger, Metrics: set})
	if err != nil {
		b.Fatal(err)
	}
	var cfg Config
	cfg.Routes, cfg.Loops, cfg.Logger, cfg.Metrics = []Route{{Path: "/", Balancer: bal}}, loops, logger, set
	s, err := New(ln, cfg)
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve() }()
	defer s.Shutdown(b.Context())
	benchGet(b, ln.Addr().String())
}

func BenchmarkNetHTTPGet(b *testing.B) {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: benchBackend(b)})
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: proxy}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	benchGet(b, ln.Addr().String())
}
