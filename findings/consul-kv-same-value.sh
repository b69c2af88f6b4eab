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
. "$(dirname "$0")/lib/consul.sh"
got=$(python3 - <<'PY'
import threading, time
from consul import call, get, put, ready
ready()
def index(): return get("/v1/kv/beat")[0]["ModifyIndex"]
put("/v1/kv/beat", b"alive")
first = index()
def watch(act):
    result = []
    def wait():
        begun = time.monotonic()
        headers, _ = call("GET", f"/v1/kv/beat?index={first}&wait=1s")
        result.append((int(headers["X-Consul-Index"]) > first, time.monotonic() - begun >= 1))
    t = threading.Thread(target=wait); t.start(); time.sleep(0.2)
    answer = act(); t.join()
    return answer, *result[0]
for what, path, value in (("put, same value", "/v1/kv/beat", b"alive"), ("check-and-set, same value", f"/v1/kv/beat?cas={first}", b"alive"), ("put, another value", "/v1/kv/beat", b"alive 2")):
    answer, moved, waited = watch(lambda: put(path, value))
    print(f"{what}: {answer}, index moved {moved}, the query waited its time out {waited}")
PY
)
want='put, same value: true, index moved False, the query waited its time out True
check-and-set, same value: true, index moved False, the query waited its time out True
put, another value: true, index moved True, the query waited its time out False'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
