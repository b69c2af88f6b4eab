#!/usr/bin/env bash
# Linux (6.x): a connect to a local port on which nobody listens is refused, one
# would say. If the kernel chooses that very port as the connection's own, it
# succeeds: the socket is connected to itself, reads what it writes, and holds
# the port, so that the server which has gone cannot come back. The default range
# makes it one try in some ten thousand, which is often where a health check or a
# proxy asks again and again for a dead server on a port of that range, such as
# the host ports that ECS and Nomad hand out: a check of TCP passes, and a client
# is answered with its own request. Go's dialer looks for it; who calls connect
# has to, by comparing both addresses.
#
# The range of one port here (IP_LOCAL_PORT_RANGE, Linux 6.3) makes the chance a
# certainty. Seen: connected, the answer is the request, the port is in use.
set -euo pipefail
got=$(python3 - <<'PY'
import os, socket, struct
LOCAL_PORT_RANGE = 51
server = socket.create_server(("127.0.0.1", 0))
address = server.getsockname()
server.close()
c = socket.socket()
c.setsockopt(socket.IPPROTO_IP, LOCAL_PORT_RANGE, struct.pack("I", address[1] << 16 | address[1]))
c.connect(address)
c.sendall(b"request")
print("connected to itself:", c.getsockname() == c.getpeername())
print("answer:", c.recv(100).decode())
try:
    socket.create_server(address)  # sets SO_REUSEADDR
    print("the server came back")
except OSError as e:
    print("the server comes back:", os.strerror(e.errno))
PY
)
want='connected to itself: True
answer: request
the server comes back: Address already in use'
uname -r
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
