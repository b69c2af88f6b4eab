#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: a blocking query on a KV prefix is said to
# wake when something below the prefix changes. That is so once there was a key;
# as long as there has never been one, every write to any key of the store wakes
# it. A fleet that watches the prefix of its overrides, of which there are none
# yet, asks as often as the busiest writer of the cluster writes, and the load
# goes away on the day somebody makes the first override, or deletes it again. A
# permanent key below each watched prefix avoids it.
#
# Seen: a write elsewhere wakes the query below a prefix that never had a key;
# with a key, and after its deletion, the query waits its time out.
set -euo pipefail
. "$(dirname "$0")/lib/consul.sh"
got=$(python3 - <<'PY'
import threading, time
from consul import call, put, ready
ready()
prefix = "/v1/kv/overrides/?recurse=true"
def woken():
    index = call("GET", prefix)[0]["X-Consul-Index"]
    writer = threading.Timer(0.3, put, ("/v1/kv/elsewhere", str(time.monotonic()).encode()))
    writer.start()
    begun = time.monotonic()
    call("GET", f"{prefix}&index={index}&wait=3s")
    took = time.monotonic() - begun
    writer.join()
    return took < 2.9
print("never a key: woken", woken(), woken(), woken())
put("/v1/kv/overrides/keep", b"1")
print("a key: woken", woken())
call("DELETE", "/v1/kv/overrides/keep")
print("a key deleted: woken", woken())
PY
)
want='never a key: woken True True True
a key: woken False
a key deleted: woken False'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
