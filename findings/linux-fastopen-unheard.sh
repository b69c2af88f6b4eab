#!/usr/bin/env bash
# Linux (6.x): a server that sets TCP_FASTOPEN on its listener, gets no error and
# reads its queue length back, as balancers do for tfo or fastopen= in their
# configuration, is thought to serve TCP Fast Open. By default it does not: the
# sysctl net.ipv4.tcp_fastopen is 1, which is the client's half alone, and the
# server's is bit 2. It gives out no cookie, each client waits its round trip as
# before, and no counter and no log of the server shows it. The sysctl is each
# network namespace's own, so a container has the default whatever its host has.
#
# Seen: the option reads 16 in both cases; of three connections with data in the
# SYN none is taken at 1, and at 3 all but the first, which fetches the cookie.
set -euo pipefail
script=$(mktemp)
trap 'rm -f "$script"' EXIT
cat >"$script" <<'PY'
import socket
FASTOPEN, MSG_FASTOPEN = 23, 0x20000000
def passive():
    names, values = [line.split() for line in open("/proc/net/netstat") if line.startswith("TcpExt:")]
    return int(dict(zip(names, values))["TCPFastOpenPassive"])
print("default", open("/proc/sys/net/ipv4/tcp_fastopen").read().strip())
for value in ("1", "3"):
    open("/proc/sys/net/ipv4/tcp_fastopen", "w").write(value)
    l = socket.create_server(("127.0.0.1", 0))
    l.setsockopt(socket.IPPROTO_TCP, FASTOPEN, 16)
    before = passive()
    for _ in range(3):
        c = socket.socket()
        c.sendto(b"hello", MSG_FASTOPEN, l.getsockname())
        a, _ = l.accept()
        a.recv(5, socket.MSG_WAITALL)
        c.close(); a.close()
    print("sysctl", value, "- option", l.getsockopt(socket.IPPROTO_TCP, FASTOPEN), "- taken with the SYN", passive() - before)
PY
got=$(unshare -rn sh -c 'ip link set lo up && python3 "$0"' "$script")
want='default 1
sysctl 1 - option 16 - taken with the SYN 0
sysctl 3 - option 16 - taken with the SYN 2'
uname -r
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
