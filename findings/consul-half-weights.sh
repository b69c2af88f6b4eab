#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: an instance that is registered without
# Weights has 1 when it passes and 1 in warning. One that is registered with
# {"Passing": 10} has 10 and 0: to give one of the two weights takes the other
# away, so that an instance in warning disappears from DNS answers that are
# weighted, and from every balancer that honours weights. Nothing says so.
#
# Seen: no Weights: Passing 1, Warning 1. {"Passing": 10}: Passing 10, Warning 0.
set -euo pipefail
. "$(dirname "$0")/lib/consul.sh"
got=$(python3 - <<'PY'
from consul import get, ready, register, until
ready()
for name, weights in (("plain", None), ("heavy", {"Passing": 10})):
    service = {"Name": name, "Port": 80, "Address": "127.0.0.1"}
    if weights: service["Weights"] = weights
    register(**service)
    until(lambda: get("/v1/health/service/" + name))
    entries = get("/v1/health/service/" + name)
    w = entries[0]["Service"]["Weights"]
    print("registered with", weights and "Passing 10 alone" or "no weights", "->", "Passing", w["Passing"], "Warning", w["Warning"])
PY
)
want='registered with no weights -> Passing 1 Warning 1
registered with Passing 10 alone -> Passing 10 Warning 0'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
