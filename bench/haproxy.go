package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// haproxies returns HAProxy with its own buffers and with large ones.
func haproxies() []proxy {
	base := proxy{
		name: "haproxy", role: rolePeer, path: "haproxy", layers: []layer{l4, l7}, tls: true, speaks: []spoken{http2, grpc},
		install: "apt install haproxy", version: []string{"-v"}, stop: syscall.SIGTERM,
		note:   "http-reuse always, health checks",
		launch: func(l launch) (launched, error) { return launchHAProxy(l, 0) },
	}
	large := base
	large.name, large.bulkOnly = "haproxy-64k", true
	large.note += ", tune.bufsize 65536"
	large.launch = func(l launch) (launched, error) { return launchHAProxy(l, 64<<10) }
	return []proxy{base, large}
}

func launchHAProxy(l launch, buffer int) (launched, error) {
	config := haproxyConfig(l, buffer)
	file := filepath.Join(l.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return launched{}, fmt.Errorf("cannot write the configuration of haproxy: %w", err)
	}
	return launched{args: []string{"-q", "-db", "-f", file}, config: config}, nil
}

func haproxyConfig(l launch, buffer int) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("global")
	p("  nbthread %d", l.threads)
	p("  maxconn %d", l.maxConns)
	if buffer > 0 {
		p("  tune.bufsize %d", buffer)
	}
	p("defaults")
	p("  timeout connect 5s")
	p("  timeout client 5m")
	p("  timeout server 5m")
	p("  timeout http-keep-alive 5m")
	secure := ""
	if l.tls.both != "" {
		secure = " ssl crt " + l.tls.both
	}
	front2, back2 := "", ""
	if l.speaks != http1 {
		front2 = " proto h2"
	}
	if l.speaks == grpc {
		back2 = " proto h2"
	}
	for _, front := range []struct{ name, addr, mode string }{{"l4", l.l4, "tcp"}, {"l7", l.l7, "http"}} {
		p("listen %s", front.name)
		p("  mode %s", front.mode)
		if front.mode == "http" {
			p("  bind %s%s%s", front.addr, secure, front2)
		} else {
			p("  bind %s%s", front.addr, secure)
		}
		if front.mode == "http" {
			p("  http-reuse always")
			p("  option forwardfor") // as sluice does
		}
		if l.slow {
			p("  balance leastconn")
		} else {
			p("  balance roundrobin")
		}
		for i, addr := range l.backends {
			if front.mode == "http" {
				p("  server s%d %s check%s", i, addr, back2)
			} else {
				p("  server s%d %s check", i, addr)
			}
		}
	}
	return b.String()
}
