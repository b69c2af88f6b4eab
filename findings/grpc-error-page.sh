#!/usr/bin/env bash
# google.golang.org/grpc v1.85.0: a proxy that has no backend and answers a gRPC
# call with 503 is understood, the status becomes Unavailable, which clients
# retry. If the proxy takes care to say content-type: application/grpc, as the
# call did, it is not: the HTTP status counts for nothing then, and without
# grpc-status the call ends as Unknown, which no retry policy names and no alert
# on Unavailable sees. 429 and 502 are the same. What gRPC understands under its
# own content type is status 200 with grpc-status in the same frame; otherwise an
# error page is better off as text/plain.
#
# Seen: 503, 502 and 429 as text/plain Unavailable, as application/grpc Unknown.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func main() {
	for _, kind := range []string{"text/plain", "application/grpc"} {
		for _, code := range []int{503, 502, 429} {
			fmt.Println(code, "as", kind, "is", call(kind, code))
		}
	}
}

// call returns the code that a client makes of a proxy's error page.
func call(kind string, code int) string {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	proxy := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { _ = proxy.Serve(ln) }()
	defer proxy.Close()
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return status.Code(err).String()
}
GO
go mod init finding >/dev/null 2>&1
go get google.golang.org/grpc@v1.85.0 >/dev/null 2>&1
got=$(go run -mod=mod .)
want='503 as text/plain is Unavailable
502 as text/plain is Unavailable
429 as text/plain is Unavailable
503 as application/grpc is Unknown
502 as application/grpc is Unknown
429 as application/grpc is Unknown'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
