#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: an instance that is registered without
# Weights has 1 when it passes and 1 in warning. One that is registered with
# {"Passing": 10} has 10 and 0: to give one of the two weights takes the other
# away, so that an instance in warning disappears from DNS answers that are
# weighted, and from every balancer that honours weights. Nothing says so.
#
# Seen: no Weights: Passing 1, Warning 1. {"Passing": 10}: Passing 10, Warning 0.
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
for name, weights in (("plain", None), ("heavy", {"Passing": 10})):
    service = {"Name": name, "Port": 80, "Address": "127.0.0.1"}
    if weights: service["Weights"] = weights
    call("PUT", "/v1/agent/service/register", service)
    for attempt in range(300):
        entries = json.loads(call("GET", "/v1/health/service/" + name)[1])
        if entries: break
        time.sleep(0.05)
    w = entries[0]["Service"]["Weights"]
    print("registered with", weights and "Passing 10 alone" or "no weights", "->", "Passing", w["Passing"], "Warning", w["Warning"])
PY
)
want='registered with no weights -> Passing 1 Warning 1
registered with Passing 10 alone -> Passing 10 Warning 0'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
