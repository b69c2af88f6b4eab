# Sourced by the scripts about Consul: makes a temporary folder and goes there,
# builds Consul 1.22.0 in it, says its version and starts an agent whose HTTP API
# is at port $CONSUL_HTTP and whose DNS is at $CONSUL_DNS of 127.0.0.1. Agent and
# folder go when the script ends. consul.py beside this file asks the agent.
dir=$(mktemp -d)
agent=
trap '[ -z "$agent" ] || kill "$agent" 2>/dev/null || true; rm -rf "$dir"' EXIT
PYTHONPATH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH PYTHONDONTWRITEBYTECODE=1
cd "$dir"
cat >tools.go <<'GO'
package main

import _ "github.com/hashicorp/consul/version"

func main() {}
GO
go mod init finding >/dev/null 2>&1
export GONOSUMDB='github.com/hashicorp/*'
go get github.com/hashicorp/consul@v1.22.0 >/dev/null 2>&1
go build -mod=mod -o consul github.com/hashicorp/consul
./consul version >version && head -1 version
free() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
CONSUL_HTTP=$(free) CONSUL_DNS=$(free)
export CONSUL_HTTP CONSUL_DNS
./consul agent -dev -bind 127.0.0.1 -http-port "$CONSUL_HTTP" -dns-port "$CONSUL_DNS" -grpc-port -1 -grpc-tls-port -1 \
  -server-port "$(free)" -serf-lan-port "$(free)" -serf-wan-port -1 >consul.log 2>&1 &
agent=$!
