#!/usr/bin/env bash
# github.com/hashicorp/consul v1.22.0: the DNS server cuts answers over UDP to
# what fits and does not set TC (dns_config.enable_truncate is off), so that no
# client asks again over TCP. Of 60 instances an SRV question with an EDNS size
# of 1232 is answered with 19 or so, others each time, as if there were no more;
# without EDNS with 3. Over TCP all 60 come.
#
# Seen: UDP 3 and 19, TC never set, two answers in a row that differ; TCP 60.
set -euo pipefail
. "$(dirname "$0")/lib/consul.sh"
got=$(python3 - <<'PY'
import os, socket, struct, sys
from consul import ready, register, until
ready()
dns = int(os.environ["CONSUL_DNS"])
for i in range(60): register(ID=f"web-{i}", Name="web", Address=f"127.0.1.{i+1}", Port=80)
def ask(edns, tcp=False):
    name = b"".join(bytes([len(p)]) + p.encode() for p in "web.service.consul".split(".")) + b"\0"
    q = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 1 if edns else 0) + name + struct.pack(">HH", 33, 1)
    if edns: q += b"\0" + struct.pack(">HHIH", 41, edns, 0, 0)
    if tcp:
        s = socket.create_connection(("127.0.0.1", dns), timeout=5); s.sendall(struct.pack(">H", len(q)) + q)
        n = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]; a = s.recv(n, socket.MSG_WAITALL)
    else:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q, ("127.0.0.1", dns)); a = s.recv(65535)
    flags, _, answers = struct.unpack(">HHH", a[2:8])
    return answers, bool(flags & 0x200), a[12:]
until(lambda: ask(1232, True)[0] == 60)
plain, edns, again, tcp = ask(0), ask(1232), ask(1232), ask(1232, True)
print("UDP", plain[0], "TC", plain[1], "| UDP with EDNS some", 10 < edns[0] < 30, "TC", edns[1], "| differs from the next", edns[2] != again[2], "| TCP", tcp[0])
print("with EDNS:", edns[0], file=sys.stderr)
PY
)
want='UDP 3 TC False | UDP with EDNS some True TC False | differs from the next True | TCP 60'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
