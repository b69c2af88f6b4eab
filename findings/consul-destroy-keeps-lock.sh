#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: a process that holds a lock and shuts down
# in order destroys its session, and the next one is thought to get the lock at
# once, as after a release. The lock is free to see, its key has no session any
# more, and yet nobody can acquire it for the session's LockDelay, 15 s unless it
# was set: Consul takes a destroyed session for one that has died, whose holder
# may still write. At each deployment a leader is missing for 15 s; to release
# the key first, and then destroy the session, costs nothing.
#
# Seen: after a release, acquired at once; after a destroy, the key has no session
# and acquire answers false until the delay (3 s here) is over; the default is 15 s.
set -euo pipefail
. "$(dirname "$0")/lib/consul.sh"
got=$(python3 - <<'PY'
import json, time
from consul import get, put, ready
ready()
def session(**settings): return json.loads(put("/v1/session/create", settings))["ID"]
print("LockDelay unless set:", get("/v1/session/info/" + session())[0]["LockDelay"] // 10**9, "s")
for how in ("released", "destroyed"):
    first, second = session(LockDelay="3s"), session()
    put(f"/v1/kv/{how}?acquire={first}", b"1")
    put(f"/v1/kv/{how}?release={first}" if how == "released" else f"/v1/session/destroy/{first}")
    begun = time.monotonic()
    free = "Session" not in get(f"/v1/kv/{how}")[0]
    tries = 1
    while put(f"/v1/kv/{how}?acquire={second}", b"2") != "true":
        tries += 1
        time.sleep(0.1)
    took = time.monotonic() - begun
    print(f"{how}: no session on the key {free}, acquired at once {tries == 1}, after the delay {2 <= took < 10}")
PY
)
want='LockDelay unless set: 15 s
released: no session on the key True, acquired at once True, after the delay False
destroyed: no session on the key True, acquired at once False, after the delay True'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
