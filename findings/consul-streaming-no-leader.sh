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
. "$(dirname "$0")/lib/consul.sh"
got=$(python3 - <<'PY'
from consul import call, get, ready, register, until
ready()
register(Name="web", Port=80, Address="127.0.0.1")
until(lambda: get("/v1/health/service/web"))
headers, _ = call("GET", "/v1/health/service/web")
print("without index: KnownLeader", headers["X-Consul-KnownLeader"])
headers, _ = call("GET", "/v1/health/service/web?index=1&wait=1s")
print("with index: KnownLeader", headers["X-Consul-KnownLeader"], "by", headers["X-Consul-Query-Backend"])
print("the agent knows a leader", len(call("GET", "/v1/status/leader")[1]) > 4)
PY
)
want='without index: KnownLeader true
with index: KnownLeader false by streaming
the agent knows a leader True'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
