#!/usr/bin/env bash
# HAProxy 2.6 (Debian 12): servers that come from SRV records, as Consul's DNS
# gives them, take their weights from the records. HAProxy divides the weight by
# 256 and adds 1, for SRV weights go to 65535 and its own to 256, so that all
# that people write into Consul's Weights.Passing, 1, 10 or 100, is the same: 1.
# A canary at 1 beside servers at 100 gets as much as each of them. Nothing says
# so, and the same records weigh as written in a balancer that reads Consul's
# HTTP API. Weights for HAProxy have to be counted in 256s.
#
# Seen: SRV weights 1, 10, 100 and 1000 are weights 1, 1, 1 and 4.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -qq haproxy=2.6.* >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
haproxy=$PWD/root/usr/sbin/haproxy
"$haproxy" -v | sed -n 1p
got=$(python3 - "$haproxy" <<'PY'
import os, socket, struct, subprocess, sys, threading, time
members = {"127.0.0.11": 1, "127.0.0.12": 10, "127.0.0.13": 100, "127.0.0.14": 1000}
def wire(name): return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.bind(("127.0.0.1", 0))
def serve():
    while True:
        query, peer = dns.recvfrom(4096)
        end = query.index(b"\0", 12) + 5  # the name's last byte, type and class
        answers = additional = b""
        if query[end-4:end-2] == b"\0\x21":  # SRV
            for i, (address, weight) in enumerate(members.items()):
                target = wire(f"node{i}.node.consul")
                data = struct.pack(">HHH", 1, weight, 80) + target
                answers += b"\xc0\x0c" + struct.pack(">HHIH", 33, 1, 0, len(data)) + data
                additional += target + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
        n = len(members) if answers else 0
        dns.sendto(query[:2] + struct.pack(">HHHHH", 0x8580, 1, n, 0, n) + query[12:end] + answers + additional, peer)
threading.Thread(target=serve, daemon=True).start()
open("haproxy.cfg", "w").write(f"""
global
  stats socket {os.getcwd()}/sock
resolvers consul
  nameserver agent 127.0.0.1:{dns.getsockname()[1]}
  accepted_payload_size 8192
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
backend web
  server-template web 4 _web._tcp.service.consul resolvers consul
listen unused
  bind unix@unused.sock
""")
p = subprocess.Popen([sys.argv[1], "-f", "haproxy.cfg", "-db"], stderr=subprocess.DEVNULL)
def state():
    """Returns weights by address."""
    try:
        c = socket.socket(socket.AF_UNIX); c.settimeout(5); c.connect("sock"); c.sendall(b"show servers state web\n")
        text = b"".join(iter(lambda: c.recv(65536), b"")).decode()
    except OSError:
        return {}
    rows = [line.split() for line in text.splitlines() if " web " in line]
    return {r[4]: r[7] for r in rows if r[4] in members}
try:
    for _ in range(300):
        got = state()
        if len(got) == len(members): break
        time.sleep(0.1)
    for address, weight in members.items(): print("SRV weight", weight, "is", got.get(address))
finally:
    p.terminate(); p.wait()
PY
)
want='SRV weight 1 is 1
SRV weight 10 is 1
SRV weight 100 is 1
SRV weight 1000 is 4'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
