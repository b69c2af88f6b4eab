#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: to put the value that a key has already
# changes no index and wakes no blocking query, and so does a check-and-set that
# answers true. A heartbeat that writes "alive" again and again is a heartbeat
# nobody hears; the value has to change, by a counter or a time.
#
# Seen: a put and a check-and-set of the same value answer true, ModifyIndex
# stays, and a blocking query of a second waits its time out; one of another
# value ends it at once.
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
import threading
def index(): return json.loads(call("GET", "/v1/kv/beat")[1])[0]["ModifyIndex"]
call("PUT", "/v1/kv/beat", b"alive")
first = index()
def watch(act):
    result = []
    def wait():
        begun = time.monotonic()
        r, _ = call("GET", f"/v1/kv/beat?index={first}&wait=1s")
        result.append((int(r.headers["X-Consul-Index"]) > first, time.monotonic() - begun >= 1))
    t = threading.Thread(target=wait); t.start(); time.sleep(0.2)
    answer = act(); t.join()
    return answer.decode().strip(), *result[0]
for what, path, value in (("put, same value", "/v1/kv/beat", b"alive"), ("check-and-set, same value", f"/v1/kv/beat?cas={first}", b"alive"), ("put, another value", "/v1/kv/beat", b"alive 2")):
    answer, moved, waited = watch(lambda: call("PUT", path, value)[1])
    print(f"{what}: {answer}, index moved {moved}, the query waited its time out {waited}")
PY
)
want='put, same value: true, index moved False, the query waited its time out True
check-and-set, same value: true, index moved False, the query waited its time out True
put, another value: true, index moved True, the query waited its time out False'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
