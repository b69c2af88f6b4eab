#!/usr/bin/env bash
# Linux (6.x): what an accepted TCP socket has of its listener. TCP_NODELAY,
# keep-alive and its intervals, TCP_USER_TIMEOUT, SO_LINGER and the buffer sizes
# are inherited, so a server can set them once instead of for each connection.
# TCP_QUICKACK is not: every accepted socket begins with 1, whatever the
# listener has.
#
# Seen: the table at the end; it fails if an entry changes.
set -euo pipefail
got=$(python3 - <<'PY'
import socket, struct
S, T = socket.SOL_SOCKET, socket.IPPROTO_TCP
options = [
    ("TCP_NODELAY", T, socket.TCP_NODELAY, 1), ("SO_KEEPALIVE", S, socket.SO_KEEPALIVE, 1),
    ("TCP_KEEPIDLE", T, socket.TCP_KEEPIDLE, 77), ("TCP_KEEPINTVL", T, socket.TCP_KEEPINTVL, 7),
    ("TCP_USER_TIMEOUT", T, socket.TCP_USER_TIMEOUT, 12345), ("TCP_NOTSENT_LOWAT", T, socket.TCP_NOTSENT_LOWAT, 4096),
    ("TCP_QUICKACK", T, socket.TCP_QUICKACK, 0),
]
l = socket.socket()
for name, level, number, value in options:
    l.setsockopt(level, number, value)
l.setsockopt(S, socket.SO_LINGER, struct.pack("ii", 1, 3))
l.bind(("127.0.0.1", 0)); l.listen()
c = socket.create_connection(l.getsockname()); a, _ = l.accept()
for name, level, number, value in options:
    print(name, "inherited" if a.getsockopt(level, number) == l.getsockopt(level, number) == value else "not inherited")
print("SO_LINGER", "inherited" if a.getsockopt(S, socket.SO_LINGER, 8) == struct.pack("ii", 1, 3) else "not inherited")
PY
)
want='TCP_NODELAY inherited
SO_KEEPALIVE inherited
TCP_KEEPIDLE inherited
TCP_KEEPINTVL inherited
TCP_USER_TIMEOUT inherited
TCP_NOTSENT_LOWAT inherited
TCP_QUICKACK not inherited
SO_LINGER inherited'
uname -r
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
