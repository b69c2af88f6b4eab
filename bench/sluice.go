package main

import (
	"encoding/json"
	"strings"
	"syscall"
)

// newSluice returns a sluice binary as something to measure.
func newSluice(name, path string, args []string) proxy {
	p := proxy{
		name: name, role: roleSubject, path: path, layers: []layer{l4, l7}, tls: true, speaks: []spoken{http2, grpc},
		version: []string{"--version"},
		note:    "defaults, health checks included",
		stop:    syscall.SIGKILL, // it would wait for its connections
	}
	if len(args) > 0 {
		p.note = "with " + strings.Join(args, " ")
	}
	p.launch = func(l launch) (launched, error) {
		secure := ""
		if l.tls.cert != "" {
			secure = ",tls-cert=" + l.tls.cert + ",tls-key=" + l.tls.key
		}
		clear := ""
		if l.speaks != http1 {
			clear = ",h2c=true"
		}
		all := []string{
			"--l4=127.0.0.1:0=bench" + secure, "--l7=127.0.0.1:0" + secure + clear, "--route=/=bench",
			"--admin=127.0.0.1:0", "--log-format=json",
		}
		if l.speaks == grpc {
			all = append(all, "--service=bench,protocol=grpc")
		}
		for _, b := range l.backends {
			all = append(all, "--backend=bench="+b)
		}
		return launched{args: append(all, args...)}, nil
	}
	return p
}

// collectListeners returns a reader of sluice's log that sends the bound
// addresses by listener as soon as all three are known.
func collectListeners(bound chan<- map[string]string) func(string) {
	found := make(map[string]string)
	return func(line string) {
		if len(found) == 3 {
			return
		}
		listener, addr, ok := parseListening(line)
		if !ok {
			return
		}
		found[listener] = addr
		if len(found) == 3 {
			bound <- found
		}
	}
}

// parseListening reads a line of sluice's JSON log, and reports whether it
// names the address of a listener.
func parseListening(line string) (listener, addr string, ok bool) {
	var entry struct {
		Msg, Listener, Addr string
	}
	if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != "listening" {
		return "", "", false
	}
	switch entry.Listener {
	case "l4", "l7", "admin":
		return entry.Listener, entry.Addr, entry.Addr != ""
	}
	return "", "", false
}
