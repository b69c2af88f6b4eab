#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: maintenance that an operator put on a
# service is expected to stay until it is taken off, and a service that registers
# again does leave it. Registered again with replace-existing-checks (in Go's API
# ServiceRegisterOpts.ReplaceExistingChecks), which an application sends so that
# its old checks go, it ends at once: maintenance is itself a check and is
# replaced with the others. An instance taken out for a repair is back in every
# balancer when its process restarts, and nobody has said so.
#
# Seen: critical by maintenance; registered again, still critical; registered
# again with replace-existing-checks, passing, and the check is gone.
set -euo pipefail
. "$(dirname "$0")/lib/consul.sh"
got=$(python3 - <<'PY'
from consul import get, put, ready, until
ready()
service = {"ID": "web-1", "Name": "web", "Port": 80, "Address": "127.0.0.1",
           "Check": {"CheckID": "ttl", "TTL": "1h", "Status": "passing"}}
maintained = "_service_maintenance:web-1"
def local(): return maintained in get("/v1/agent/checks")
def passing(): return len(get("/v1/health/service/web?passing=true"))
put("/v1/agent/service/register", service)
until(lambda: passing() == 1)
put("/v1/agent/service/maintenance/web-1?enable=true&reason=disk")
until(lambda: passing() == 0)
print("in maintenance", local(), "- passing", passing())
put("/v1/agent/service/register", service)
print("registered again: in maintenance", local(), "- passing", passing())
put("/v1/agent/service/register?replace-existing-checks=true", service)
until(lambda: passing() == 1)
print("with replace-existing-checks: in maintenance", local(), "- passing", passing())
PY
)
want='in maintenance True - passing 0
registered again: in maintenance True - passing 0
with replace-existing-checks: in maintenance False - passing 1'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
