package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// others returns the peers that join in if they are in PATH.
func others() []proxy {
	peer := func(name string, layers []layer, version, note string, f func(launch) (launched, error)) proxy {
		return proxy{
			name: name, role: rolePeer, path: name, layers: layers, version: []string{version},
			install: "the bench uses it if it is in PATH", optional: true,
			note: note, stop: syscall.SIGKILL, launch: f,
		}
	}
	return []proxy{
		peer("fabio", []layer{l4, l7}, "--version", "static routes", launchFabio),
		peer("traefik", []layer{l4, l7}, "version", "file provider", launchTraefik),
		peer("caddy", []layer{l7}, "version", "reverse_proxy; it has no L4 of its own", launchCaddy),
		peer("envoy", []layer{l4, l7}, "--version", "static clusters, circuit breaking off", launchEnvoy),
	}
}

func writeConfig(l launch, proxy, file, config string) (string, error) {
	path := filepath.Join(l.dir, file)
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return "", fmt.Errorf("cannot write the configuration of %s: %w", proxy, err)
	}
	return path, nil
}

func launchFabio(l launch) (launched, error) {
	ui, err := freeAddr()
	if err != nil {
		return launched{}, err
	}
	_, port, err := net.SplitHostPort(l.l4)
	if err != nil {
		return launched{}, fmt.Errorf("cannot use address %q: %w", l.l4, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "proxy.addr = %s;proto=tcp,%s\n", l.l4, l.l7)
	fmt.Fprintf(&b, "ui.addr = %s\n", ui)
	b.WriteString("insecure = true\n") // allows root
	b.WriteString("log.level = WARN\n")
	b.WriteString("registry.backend = static\n")
	b.WriteString("registry.static.routes = ")
	for _, addr := range l.backends {
		// The two characters \n end a route.
		fmt.Fprintf(&b, `route add bench :%s tcp://%s\nroute add bench / http://%s/\n`, port, addr, addr)
	}
	b.WriteString("\n")
	file, err := writeConfig(l, "fabio", "fabio.properties", b.String())
	return launched{args: []string{"-cfg", file}, config: b.String()}, err
}

func launchTraefik(l launch) (launched, error) {
	var b strings.Builder
	b.WriteString(`http:
  routers:
    bench: {rule: "PathPrefix(` + "`/`" + `)", service: bench, entryPoints: [l7]}
  services:
    bench:
      loadBalancer:
        servers:
`)
	for _, addr := range l.backends {
		fmt.Fprintf(&b, "          - url: http://%s\n", addr)
	}
	b.WriteString(`tcp:
  routers:
    bench: {rule: "HostSNI(` + "`*`" + `)", service: bench, entryPoints: [l4]}
  services:
    bench:
      loadBalancer:
        servers:
`)
	for _, addr := range l.backends {
		fmt.Fprintf(&b, "          - address: %s\n", addr)
	}
	file, err := writeConfig(l, "traefik", "dynamic.yml", b.String())
	return launched{args: []string{
		"--entrypoints.l4.address=" + l.l4, "--entrypoints.l7.address=" + l.l7,
		"--providers.file.filename=" + file, "--log.level=ERROR",
		"--global.checknewversion=false", "--global.sendanonymoususage=false",
	}, config: b.String()}, err
}

func launchCaddy(l launch) (launched, error) {
	_, port, err := net.SplitHostPort(l.l7)
	if err != nil {
		return launched{}, fmt.Errorf("cannot use address %q: %w", l.l7, err)
	}
	policy := "random"
	if l.slow {
		policy = "least_conn"
	}
	config := fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
}
http://:%s {
	bind 127.0.0.1
	reverse_proxy %s {
		lb_policy %s
		transport http {
			keepalive_idle_conns_per_host 1024
		}
	}
}
`, port, strings.Join(l.backends, " "), policy)
	file, err := writeConfig(l, "caddy", "Caddyfile", config)
	return launched{
		args:   []string{"run", "--adapter", "caddyfile", "--config", file},
		env:    []string{"HOME=" + l.dir, "XDG_DATA_HOME=" + l.dir, "XDG_CONFIG_HOME=" + l.dir},
		config: config,
	}, err
}

func launchEnvoy(l launch) (launched, error) {
	policy := "ROUND_ROBIN"
	if l.slow {
		policy = "LEAST_REQUEST"
	}
	address := func(addr string) (string, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return "", fmt.Errorf("cannot use address %q: %w", addr, err)
		}
		return fmt.Sprintf("{socket_address: {address: %s, port_value: %s}}", host, port), nil
	}
	front4, err := address(l.l4)
	if err != nil {
		return launched{}, err
	}
	front7, err := address(l.l7)
	if err != nil {
		return launched{}, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `static_resources:
  listeners:
  - name: l4
    address: %s
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: l4
          cluster: bench
  - name: l7
    address: %s
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: l7
          generate_request_id: false
          route_config:
            virtual_hosts:
            - {name: bench, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: bench, timeout: 0s}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: bench
    type: STATIC
    connect_timeout: 5s
    lb_policy: %s
    circuit_breakers: {thresholds: [{max_connections: 1000000, max_pending_requests: 1000000, max_requests: 1000000}]}
    load_assignment:
      cluster_name: bench
      endpoints:
      - lb_endpoints:
`, front4, front7, policy)
	for _, addr := range l.backends {
		a, err := address(addr)
		if err != nil {
			return launched{}, err
		}
		fmt.Fprintf(&b, "        - endpoint: {address: %s}\n", a)
	}
	file, err := writeConfig(l, "envoy", "envoy.yaml", b.String())
	return launched{
		args:   []string{"-c", file, "--concurrency", fmt.Sprint(l.threads), "--disable-hot-restart", "-l", "error"},
		config: b.String(),
	}, err
}
