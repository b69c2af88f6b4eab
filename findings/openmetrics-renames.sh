#!/usr/bin/env bash
# github.com/prometheus/client_golang v1.23.2: EnableOpenMetrics, needed for
# exemplars, is thought to change the format and not the metrics. Prometheus then
# asks for OpenMetrics of itself, and two things are others in it: buckets are
# le="1.0" where they were le="1", which is another series to Prometheus 2, so
# that each recording rule and dashboard that names a bucket finds nothing from
# that scrape on; and a counter whose name does not end in _total is of type
# unknown. A curl of the same address still shows the old form.
#
# Seen: text: counter, le="1"; OpenMetrics: unknown, le="1.0".
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	registry := prometheus.NewRegistry()
	requests := prometheus.NewCounter(prometheus.CounterOpts{Name: "requests", Help: "Requests served."})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "request_seconds", Help: "Their time.", Buckets: []float64{0.5, 1}})
	registry.MustRegister(requests, seconds)
	requests.Inc()
	seconds.Observe(0.7)
	s := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	defer s.Close()
	for _, accept := range []string{"text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"} {
		request, err := http.NewRequest("GET", s.URL, nil)
		if err != nil {
			panic(err)
		}
		request.Header.Set("Accept", accept)
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			if line := lines.Text(); strings.HasPrefix(line, "# TYPE requests") || strings.Contains(line, `_bucket{le="1`) {
				fmt.Println(kind, "-", line)
			}
		}
		r.Body.Close()
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/prometheus/client_golang/prometheus/promhttp@v1.23.2 >/dev/null 2>&1
got=$(go run -mod=mod .)
want='text/plain - request_seconds_bucket{le="1"} 1
text/plain - # TYPE requests counter
application/openmetrics-text - request_seconds_bucket{le="1.0"} 1
application/openmetrics-text - # TYPE requests unknown'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
