#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: the LockIndex of a KV lock counts how often
# it was acquired, and looks like the fencing token of the textbooks: each holder
# has a higher one. But a plain Put to the key, which needs no session and is let
# through while somebody else holds the lock, sets it to 0 and leaves the holder
# its lock. From there the count begins again, so that the next holder gets a
# token that an earlier one had, and a store that trusts the highest token takes
# the writes of a holder that is long gone. Who fences takes ModifyIndex, and
# never puts to a lock's key.
#
# Seen: 1 for the first holder; a stranger's Put answers true, LockIndex is 0 and
# the session still there; the second holder gets 1 again. Without the Put it is 2.
set -euo pipefail
. "$(dirname "$0")/lib/consul.sh"
got=$(python3 - <<'PY'
import json
from consul import call, get, put, ready
ready()
def session(): return json.loads(put("/v1/session/create", {"LockDelay": "0s"}))["ID"]
def entry(key): return get("/v1/kv/" + key)[0]
for key, stranger in (("quiet", False), ("written", True)):
    first, second = session(), session()
    put(f"/v1/kv/{key}?acquire={first}", b"first")
    print(f"{key}: first holder {entry(key)['LockIndex']}")
    if stranger:
        answer = put("/v1/kv/" + key, b"note")
        print(f"{key}: Put without a session {answer}, LockIndex {entry(key)['LockIndex']}, still held {entry(key).get('Session') == first}")
    put(f"/v1/kv/{key}?release={first}")
    put(f"/v1/kv/{key}?acquire={second}", b"second")
    print(f"{key}: second holder {entry(key)['LockIndex']}")
PY
)
want='quiet: first holder 1
quiet: second holder 2
written: first holder 1
written: Put without a session true, LockIndex 0, still held True
written: second holder 1'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
