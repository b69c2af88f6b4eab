package main

import (
	"fmt"
	"path"
	"strings"
)

// kind is how a scenario loads a proxy.
type kind string

const (
	closedLoop kind = "wrk"    // as fast as it goes
	openLoop   kind = "rate"   // at a fixed rate, however slow the answers
	idleConns  kind = "idle"   // connections that are opened, used once, and held
	resumeLoop kind = "resume" // as fast as it goes, each a connection whose TLS session is resumed
	multiplex  kind = "h2load" // as fast as it goes, several requests under way on each connection
)

// spoken is what is spoken with a proxy, and by it.
type spoken string

const (
	http1 spoken = ""     // HTTP/1.1 on both sides
	http2 spoken = "h2"   // HTTP/2 without TLS, to backends of HTTP/1.1
	grpc  spoken = "grpc" // HTTP/2 on both sides, and calls of gRPC over it
)

// streams is how many requests are under way on a connection of HTTP/2.
const streams = 10

// layer is which of a proxy's listeners a scenario uses.
type layer string

const (
	l4 layer = "l4"
	l7 layer = "l7"
)

// body is what the requests of a scenario carry.
type body string

const (
	small body = "small" // 66 bytes of response
	down  body = "down"  // 1 MB of response
	up    body = "up"    // 1 MB of request
)

const megabyte = 1 << 20

// backendSet is what stands behind a proxy.
type backendSet struct {
	count int
	slow  bool // the last of them answers late
}

// scenario is one kind of load. Its measurements compare with one another.
type scenario struct {
	name     string
	title    string
	layer    layer
	kind     kind
	body     body
	conns    int
	close    bool // one connection per request
	tls      bool // it ends at the listener
	speaks   spoken
	counted  bool // the calls of a request are counted, too
	backends backendSet
	fresh    bool    // the proxy is started for this measurement alone
	direct   bool    // also measured without a proxy
	part     float64 // of --duration; 0 means 1
	quick    bool    // also part of --quick
	named    bool    // part of a run only where it is named
}

// bulk reports whether the variants with large buffers take part.
func (s scenario) bulk() bool { return s.body != small }

const (
	slowLatency   = "20ms"
	idleConnCount = 3000
	rateConns     = 64
)

// scenarios returns all there are, in the order in which they run and are
// reported.
func scenarios(idle int) []scenario {
	var all []scenario
	one := backendSet{count: 1}
	for _, l := range []layer{l4, l7} {
		n := func(suffix string) string { return string(l) + "-" + suffix }
		// Behind an L4 proxy a connection stays where it is, so what is about
		// choosing a backend needs a connection for each request there.
		choose := "connections kept alive"
		if l == l4 {
			choose = "one connection per request"
		}
		all = append(all,
			scenario{name: n("keepalive"), title: "small messages, 64 connections kept alive", layer: l, kind: closedLoop, body: small, conns: 64, backends: one, direct: l == l4, quick: true, counted: true},
			scenario{name: n("connection"), title: "one connection per request, 64 at a time", layer: l, kind: closedLoop, body: small, conns: 64, close: true, backends: one, direct: l == l4, quick: true, counted: true},
			scenario{name: n("down"), title: "1 MB down, 16 connections", layer: l, kind: closedLoop, body: down, conns: 16, backends: one, direct: l == l4, quick: true},
			scenario{name: n("up"), title: "1 MB up, 16 connections", layer: l, kind: closedLoop, body: up, conns: 16, backends: one, direct: l == l4, quick: true},
			scenario{name: n("conns"), title: "small messages, 1,000 connections kept alive", layer: l, kind: closedLoop, body: small, conns: 1000, backends: one, direct: l == l4, quick: true},
			scenario{name: n("slow"), title: "three backends, one answers after " + slowLatency + "; 64 at a time, " + choose, layer: l, kind: closedLoop, body: small, conns: 64, close: l == l4, backends: backendSet{count: 3, slow: true}, fresh: true},
			scenario{name: n("rate"), title: "small messages at a fixed rate, open loop", layer: l, kind: openLoop, body: small, conns: rateConns, backends: one, direct: l == l4, quick: true},
			scenario{name: n("idle"), title: fmt.Sprintf("memory of %d idle connections, after a request each", idle), layer: l, kind: idleConns, body: small, conns: idle, backends: one, fresh: true, quick: true},
		)
		all = append(all,
			scenario{name: n("tls"), title: "TLS that ends at the proxy, small messages, 64 connections kept alive", layer: l, kind: closedLoop, body: small, conns: 64, backends: one, fresh: true, tls: true},
			scenario{name: n("tls-connection"), title: "TLS that ends at the proxy, a full handshake per request, 64 at a time", layer: l, kind: closedLoop, body: small, conns: 64, close: true, backends: one, fresh: true, tls: true},
			scenario{name: n("tls-resumed"), title: "TLS that ends at the proxy, a resumed session per request, 16 at a time", layer: l, kind: resumeLoop, body: small, conns: 16, close: true, backends: one, fresh: true, tls: true},
		)
		if l == l7 {
			all = append(all,
				scenario{name: n("h2"), title: fmt.Sprintf("HTTP/2 to HTTP/1.1, small messages, 16 connections with %d requests each", streams), layer: l, kind: multiplex, speaks: http2, body: small, conns: 16, backends: one, fresh: true},
				scenario{name: n("grpc"), title: fmt.Sprintf("gRPC, unary calls, 16 connections with %d calls each", streams), layer: l, kind: multiplex, speaks: grpc, body: small, conns: 16, backends: one, fresh: true},
			)
		}
		for _, count := range []int{1, 10, 100, 1000, 10_000} {
			all = append(all, scenario{
				name: n(fmt.Sprintf("backends-%d", count)), title: fmt.Sprintf("small messages over %d backends; 64 at a time, %s", count, choose),
				layer: l, kind: closedLoop, body: small, conns: 64, close: l == l4,
				backends: backendSet{count: count}, fresh: true, part: 0.6, named: count > 1000,
			})
		}
	}
	return all
}

// selectScenarios returns those whose names match one of the patterns, which
// are separated by commas and may hold *.
func selectScenarios(all []scenario, patterns string) ([]scenario, error) {
	var chosen []scenario
	matched := make(map[string]bool)
	for _, s := range all {
		taken := false
		for p := range strings.SplitSeq(patterns, ",") {
			ok, err := path.Match(strings.TrimSpace(p), s.name)
			if err != nil {
				return nil, fmt.Errorf("cannot use --scenarios %q: %w", p, err)
			}
			if ok {
				matched[p] = true
				taken = true
			}
		}
		if taken {
			chosen = append(chosen, s)
		}
	}
	for p := range strings.SplitSeq(patterns, ",") {
		if !matched[p] {
			var names []string
			for _, s := range all {
				names = append(names, s.name)
			}
			return nil, fmt.Errorf("cannot use --scenarios %q: no such scenario; there are %s", p, strings.Join(names, ", "))
		}
	}
	return chosen, nil
}
