#!/bin/sh
# Updates the backends of a service one after the other, so that no client notices:
#
#   rolling-update.sh SERVICE COMMAND
#
# COMMAND is run by sh with the address of a backend as $1, once nobody is served
# there any more, and must return when the new version has been started there. Where
# to ask is for sluice ctl to know: SLUICE_CTL_ADDR, SLUICE_CTL_TOKEN. A backend that
# does not come back stops the update, and stays drained.
set -eu
service=$1 command=$2
sluice=${SLUICE:-sluice}
patience=${PATIENCE:-120} # seconds for open connections to end, and for a backend to come back

# field BACKEND COLUMN: of the table of backends, whose columns are named.
field() {
  "$sluice" ctl backends "$service" | awk -v backend="$1" -v name="$2" '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i }
    NR > 1 && $2 == backend { print $column }'
}

# await BACKEND COLUMN VALUE
await() {
  tries=$((patience * 5))
  while [ "$(field "$1" "$2")" != "$3" ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "$1: $2 is not $3 after $patience s" >&2; return 1; }
    sleep 0.2
  done
}

for backend in $("$sluice" ctl backends "$service" | awk 'NR > 1 { print $2 }'); do
  # Should this script die, the drain undoes itself.
  "$sluice" ctl drain "$service" "$backend" --for "$((3 * patience))s" --reason "rolling update"
  await "$backend" ACTIVE 0
  sh -c "$command" update "$backend"
  "$sluice" ctl reset "$service" "$backend" all
  await "$backend" STATE up
  "$sluice" ctl undrain "$service" "$backend" --reason "rolling update"
  await "$backend" ELIGIBLE true
done
