#!/usr/bin/env bash
# github.com/hashicorp/consul/api v1.34.5, package watch: a Plan, what most Go
# programs follow Consul with, is expected to be back soon after the agent is.
# Between failures it waits 5 s times the square of their number, up to 180 s, and
# without jitter: an agent that was away for four minutes is not asked again for
# up to three more, and all watchers that failed together ask together. A
# balancer built on it routes by the list of minutes ago when the cluster is well
# again. Nothing of this can be set.
#
# Seen: 5 s, 20 s and 45 s between the first four requests.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/hashicorp/consul/api/watch"
	"github.com/hashicorp/go-hclog"
)

func main() {
	asked := make(chan time.Time)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- time.Now()
		w.WriteHeader(http.StatusInternalServerError) // as an agent without a leader does
	}))
	plan, err := watch.Parse(map[string]any{"type": "service", "service": "web"})
	if err != nil {
		panic(err)
	}
	plan.Logger = hclog.NewNullLogger()
	go func() { _ = plan.RunWithConfig(s.URL, nil) }()
	last := <-asked
	for range 3 {
		now := <-asked
		fmt.Println(now.Sub(last).Round(5 * time.Second))
		last = now
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/hashicorp/consul/api@v1.34.5 >/dev/null 2>&1
got=$(go run -mod=mod . | tr '\n' ' ')
want='5s 20s 45s '
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
