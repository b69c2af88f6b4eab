#!/usr/bin/env bash
# github.com/valyala/fasthttp v1.78.0: of two requests that arrive together on a
# connection (pipelined, as HTTP/1.1 allows and balancers' and monitors' clients
# do) the first is answered when its handler returns, one would say. The answer
# stays in the server's buffer until the second handler has returned as well: a
# quick request waits for the slow one behind it, and its latency, measured by
# the handler, is nothing like what the client sees. With ReduceMemoryUsage,
# whose name promises something else, it is sent at once.
#
# Seen: while the second handler runs, the first answer has not come within a
# second; with ReduceMemoryUsage it has.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

func main() {
	for _, reduce := range []bool{false, true} {
		began, release := make(chan bool, 1), make(chan bool)
		s := &fasthttp.Server{ReduceMemoryUsage: reduce, Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/slow" {
				began <- true
				<-release
			}
		}}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		go func() { _ = s.Serve(ln) }()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		<-began // so the first handler has returned
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, err = bufio.NewReader(c).ReadString('\n')
		fmt.Println("ReduceMemoryUsage", reduce, "- answered while the second runs", err == nil)
		close(release)
		c.Close()
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/valyala/fasthttp@v1.78.0 >/dev/null 2>&1
got=$(go run -mod=mod .)
want='ReduceMemoryUsage false - answered while the second runs false
ReduceMemoryUsage true - answered while the second runs true'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
