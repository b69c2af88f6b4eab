#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: blocking queries for the health of a
# service are served by the streaming backend, which is on by default, and its
# answers say X-Consul-KnownLeader: false and X-Consul-LastContact: 0 under a
# leader that is well. Who watches these headers to learn that a cluster has lost
# its leader, or how stale an answer is, gets an alarm from each answer but the
# first; the same question without an index carries the truth.
#
# Seen: without index true; with index false, for the same service at the same
# time, and the agent knows its leader.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >tools.go <<'GO'
package main

import _ "github.com/hashicorp/consul/version"

func main() {}
GO
go mod init finding >/dev/null 2>&1
export GONOSUMDB='github.com/hashicorp/*'
go get github.com/hashicorp/consul@v1.22.0 >/dev/null 2>&1
go build -mod=mod -o consul github.com/hashicorp/consul
./consul version >version && head -1 version
free() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
http=$(free)
./consul agent -dev -bind 127.0.0.1 -http-port "$http" -dns-port -1 -grpc-port -1 -grpc-tls-port -1 \
  -server-port "$(free)" -serf-lan-port "$(free)" -serf-wan-port -1 >consul.log 2>&1 &
pid=$!
got=$(python3 - "$http" <<'PY'
import json, sys, time, urllib.request
base = "http://127.0.0.1:" + sys.argv[1]
def call(method, path, body=None):
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    r = urllib.request.urlopen(urllib.request.Request(base + path, data, method=method), timeout=30)
    return r, r.read()
for attempt in range(300):
    try:
        if call("GET", "/v1/health/node/" + json.loads(call("GET", "/v1/agent/self")[1])["Config"]["NodeName"])[1] != b"[]": break
    except Exception: pass
    time.sleep(0.1)
call("PUT", "/v1/agent/service/register", {"Name": "web", "Port": 80, "Address": "127.0.0.1"})
for attempt in range(300):
    r, body = call("GET", "/v1/health/service/web")
    if body.strip() != b"[]": break
    time.sleep(0.05)
print("without index: KnownLeader", r.headers["X-Consul-KnownLeader"])
r2, _ = call("GET", "/v1/health/service/web?index=1&wait=1s")
print("with index: KnownLeader", r2.headers["X-Consul-KnownLeader"], "by", r2.headers["X-Consul-Query-Backend"])
print("the agent knows a leader", len(call("GET", "/v1/status/leader")[1]) > 4)
PY
)
want='without index: KnownLeader true
with index: KnownLeader false by streaming
the agent knows a leader True'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
