#!/usr/bin/env bash
# golang.org/x/net/http2 v0.62.0 under net/http's Transport: MaxConnsPerHost is
# documented to bound the connections to a host, dialing, active and idle. With
# HTTP/2 it bounds the dials under way: when the peer's limit of streams is
# reached, another connection is made, and another, whatever the bound. A proxy
# that sets 1 to hold a small backend's connections down makes as many as
# requests at once divided by the peer's limit; with HTTP/1.1 the same Transport
# keeps its one and lets the rest wait.
#
# Seen: 100 requests at once with MaxConnsPerHost 1: one connection by HTTP/1.1;
# by HTTP/2, at 10 streams each, ten.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

func main() {
	for _, two := range []bool{false, true} {
		fmt.Println(run(two))
	}
}

func run(two bool) string {
	var conns, inside, most atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := inside.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if two && r.URL.Path == "/held" { // until all are here
			for begun := time.Now(); most.Load() < 100 && time.Since(begun) < 20*time.Second; {
				time.Sleep(time.Millisecond)
			}
		}
		inside.Add(-1)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	transport := &http.Transport{MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	if two {
		if err := http2.ConfigureServer(s.Config, &http2.Server{MaxConcurrentStreams: 10}); err != nil {
			panic(err)
		}
		s.TLS = s.Config.TLSConfig
		if err := http2.ConfigureTransport(transport); err != nil {
			panic(err)
		}
	}
	s.StartTLS()
	defer s.Close()
	var proto atomic.Value
	get := func(path string) {
		r, err := (&http.Client{Transport: transport}).Get(s.URL + path)
		if err != nil {
			panic(err)
		}
		proto.Store(r.Proto)
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	get("/first") // so that the peer's limit is known before the others come
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { get("/held") })
	}
	wg.Wait()
	return fmt.Sprintf("%s: connections %d", proto.Load(), conns.Load())
}
GO
go mod init finding >/dev/null 2>&1
go get golang.org/x/net/http2@v0.62.0 >/dev/null 2>&1
go version
got=$(go run -mod=mod .)
want='HTTP/1.1: connections 1
HTTP/2.0: connections 10'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
