#!/usr/bin/env bash
# go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp: an upgrade
# from v1.38.0 to v1.47.0 moves the spans of WithEndpointURL("http://host:port")
# from /v1/traces to /, where a collector answers 404 and no span arrives.
# WithEndpoint("host:port"), which looks like the same without a scheme, posts
# to /v1/traces in both. Give the path: a URL with /v1/traces means that in both.
#
# Seen: the six lines at the end.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	var path string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { path = r.URL.Path }))
	host := strings.TrimPrefix(s.URL, "http://")
	for _, c := range []struct {
		name string
		opts []otlptracehttp.Option
	}{
		{"WithEndpoint(host:port)", []otlptracehttp.Option{otlptracehttp.WithEndpoint(host), otlptracehttp.WithInsecure()}},
		{"WithEndpointURL(http://host:port)", []otlptracehttp.Option{otlptracehttp.WithEndpointURL(s.URL)}},
		{"WithEndpointURL(http://host:port/v1/traces)", []otlptracehttp.Option{otlptracehttp.WithEndpointURL(s.URL + "/v1/traces")}},
	} {
		ctx := context.Background()
		e, err := otlptracehttp.New(ctx, c.opts...)
		if err != nil {
			panic(err)
		}
		p := trace.NewTracerProvider(trace.WithSyncer(e))
		_, span := p.Tracer("x").Start(ctx, "y")
		path = ""
		span.End()
		_ = p.Shutdown(ctx)
		fmt.Println(c.name, "->", path)
	}
}
GO
got=$(for version in v1.38.0 v1.47.0; do
  rm -f go.mod go.sum
  go mod init finding >/dev/null 2>&1
  go get "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp@$version" "go.opentelemetry.io/otel/sdk@$version" >/dev/null 2>&1
  go run . | sed "s/^/$version /"
done)
want='v1.38.0 WithEndpoint(host:port) -> /v1/traces
v1.38.0 WithEndpointURL(http://host:port) -> /v1/traces
v1.38.0 WithEndpointURL(http://host:port/v1/traces) -> /v1/traces
v1.47.0 WithEndpoint(host:port) -> /v1/traces
v1.47.0 WithEndpointURL(http://host:port) -> /
v1.47.0 WithEndpointURL(http://host:port/v1/traces) -> /v1/traces'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
