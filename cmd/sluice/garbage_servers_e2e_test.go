package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// garbageConsul answers like an agent that has gone mad, and like a sane one
// once it is told to.
type garbageConsul struct {
	seed  atomic.Uint64
	sane  atomic.Bool
	index atomic.Uint64
	addrs []string // at which TCP listeners may be asked for
	web   string   // a backend that works
}

func (g *garbageConsul) tag(c chaos) string {
	addr := one(c, g.addrs...)
	if c.IntN(4) == 0 {
		return c.text() + one(c, "", "urlprefix-") + c.text()
	}
	tag := one(c, "urlprefix-"+addr+" proto=tcp", "urlprefix-"+addr+" proto=tcp pxyproto=true", "urlprefix-/", "urlprefix-/"+c.text(), "urlprefix-"+c.text()+"/",
		"urlprefix-/a strip=/a", "urlprefix-/a prepend="+c.text(), "urlprefix-/r redirect=301,http://x$path", "urlprefix-/r redirect="+c.text(),
		"urlprefix-/ weight="+one(c, "0.1", "1", "-1", "NaN", "2", "x"), "urlprefix-/ allow="+c.text(), "urlprefix-/ host="+c.text(), "urlprefix-/ proto="+one(c, "https", "grpc", "x"))
	if c.IntN(5) == 0 {
		tag = string(c.mutate([]byte(tag)))
	}
	if strings.Contains(tag, "proto=tcp") && !slices.ContainsFunc(g.addrs, func(a string) bool { return strings.Contains(tag, a+" ") }) {
		return "urlprefix-" + c.text() // it must not bind whatever address came of it
	}
	return tag
}

func (g *garbageConsul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := chaos{rand.New(rand.NewPCG(g.seed.Add(1), 0))}
	blocking := r.URL.Query().Get("index") != ""
	if g.sane.Load() {
		if blocking {
			select {
			case <-r.Context().Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		g.answer(w, strconv.FormatUint(g.index.Add(1), 10), g.saneBody(r))
		return
	}
	if blocking {
		time.Sleep(time.Duration(c.IntN(50)) * time.Millisecond)
	}
	body := g.oddBody(c, r)
	index := strconv.FormatUint(g.index.Add(1), 10)
	switch c.IntN(24) {
	case 0:
		body = c.mutate(body)
	case 1:
		index = one(c, "0", "-1", "18446744073709551615", "x", "", "1")
	case 2:
		http.Error(w, c.text(), one(c, 403, 404, 429, 500, 503))
		return
	case 3:
		panic(http.ErrAbortHandler) // hangs up
	case 4:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+10))
	case 5:
		body = []byte(one(c, "", "null", "{}", "[]", "[null]", `"x"`, "[[]]", "[{}]", `{"a":null}`, `[{"Service":null}]`, `[{"Node":null,"Service":{},"Checks":[null]}]`,
			`[null,{"Node":{"Node":"n","Address":"127.0.0.1"},"Service":{"ID":"1","Service":"web","Port":9},"Checks":[null]}]`))
	}
	g.answer(w, index, body)
}

func (g *garbageConsul) answer(w http.ResponseWriter, index string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Consul-Index", index)
	h.Set("X-Consul-KnownLeader", "true")
	h.Set("X-Consul-LastContact", "0")
	_, _ = w.Write(body) // a failure is the client's own
}

func (g *garbageConsul) saneBody(r *http.Request) []byte {
	switch name, ok := strings.CutPrefix(r.URL.Path, "/v1/health/service/"); {
	case r.URL.Path == "/v1/catalog/services":
		return []byte(`{"sane":["urlprefix-sane.example/"]}`)
	case ok && name == "sane":
		host, port, _ := net.SplitHostPort(g.web)
		return fmt.Appendf(nil, `[{"Node":{"Node":"n","Address":%q},"Service":{"ID":"sane","Service":"sane","Address":%[1]q,"Port":%s,"Tags":["urlprefix-sane.example/"],"Weights":{"Passing":1,"Warning":1}},"Checks":[]}]`, host, port)
	case ok:
		return []byte("[]")
	}
	return []byte("{}")
}

func (g *garbageConsul) oddBody(c chaos, r *http.Request) []byte {
	tags := func() (all []string) {
		for range c.IntN(5) {
			all = append(all, g.tag(c))
		}
		return all
	}
	var v any = map[string]any{}
	switch name, ok := strings.CutPrefix(r.URL.Path, "/v1/health/service/"); {
	case r.URL.Path == "/v1/catalog/services":
		names := map[string][]string{"pg": append(tags(), "urlprefix-"+g.addrs[0]+" proto=tcp")}
		for range c.IntN(6) {
			names[one(c, "web", "db", "queue", c.text())] = tags()
		}
		v = names
	case ok:
		entries := []any{}
		for range c.IntN(5) {
			own := tags()
			if name == "pg" {
				own = append(own, "urlprefix-"+g.addrs[0]+" proto=tcp")
			}
			entries = append(entries, map[string]any{
				"Node": map[string]any{"Node": one(c, "n", c.text()), "Address": one(c, "127.0.0.1", c.text()), "Datacenter": c.text()},
				"Service": map[string]any{
					"ID": one(c, "1", "2", c.text()), "Service": name, "Address": one(c, "127.0.0.1", c.text()), "Tags": own,
					"Port": one[any](c, 9, 65535, 0, -1, 70000, 1<<40, "x"), "Weights": map[string]any{"Passing": one[any](c, 1, 0, -1, 1<<40), "Warning": c.IntN(3)},
					"Meta": map[string]string{"sluice-weight": c.text(), "sluice-check": one(c, "tcp", "none", "http:/", c.text()), "sluice-zone": c.text(), "sluice-protocol": c.text(), c.text(): c.text()},
				},
				"Checks": []any{map[string]any{"Status": one(c, "passing", "warning", "critical", "maintenance", c.text()), "CheckID": one(c, "x", "_node_maintenance", c.text())}},
			})
		}
		v = entries
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}

// garbageDNS answers with answers that were broken on the way, and with one
// address once sane says so.
func garbageDNS(t *testing.T, seed uint64, sane *atomic.Bool) (addr string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		c := chaos{rand.New(rand.NewPCG(seed, 1))}
		b := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			var q dns.Msg
			if q.Unpack(b[:n]) != nil {
				continue
			}
			a := new(dns.Msg).SetReply(&q)
			for range c.IntN(5) {
				name := q.Question[0].Name
				ttl := one[uint32](c, 0, 1, 1<<31)
				a.Answer = append(a.Answer, one[dns.RR](c,
					&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: net.IPv4(127, 0, 0, byte(c.IntN(4)))},
					&dns.SRV{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: ttl}, Port: uint16(c.Uint32()), Target: "x."},
					&dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: ttl}, Target: name}))
			}
			a.Rcode, a.Truncated = one(c, 0, 0, 0, 2, 3, 5), c.IntN(5) == 0
			if c.IntN(8) == 0 {
				a.Question = nil
			}
			if sane.Load() {
				a = new(dns.Msg).SetReply(&q)
				a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)}}
			}
			p, err := a.Pack()
			if err != nil {
				continue
			}
			if !sane.Load() && c.IntN(2) == 0 {
				p = c.mutate(p)
			}
			_, _ = pc.WriteTo(p, from) // a loss is one more fault
		}
	}()
	return pc.LocalAddr().String()
}

// garbageBackend takes connections and answers with what is broken, or ends
// them.
func garbageBackend(t *testing.T, seed uint64) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	var n atomic.Uint64
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				c := chaos{rand.New(rand.NewPCG(seed, 100+n.Add(1)))}
				_ = conn.SetDeadline(time.Now().Add(time.Second))
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write(c.response())
				if c.IntN(2) == 0 {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
			}()
		}
	}()
	return ln.Addr().String()
}
