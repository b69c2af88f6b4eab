package dns

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	f := func(name, wantHost string, wantPort uint16, wantErr string) {
		t.Helper()
		host, port, err := ParseName(name)
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Fatalf("unexpected error for %q; got %v; want one with %q", name, err, wantErr)
			}
			return
		}
		if err != nil || host != wantHost || port != wantPort {
			t.Fatalf("unexpected reading of %q; got %q, %d, %v; want %q, %d", name, host, port, err, wantHost, wantPort)
		}
	}
	f("web.internal:8080", "web.internal", 8080, "")
	f("web:1", "web", 1, "")
	f("_web._tcp.internal", "_web._tcp.internal", 0, "")
	f("web.internal", "", 0, "is neither HOST:PORT nor")
	f("web.internal:0", "", 0, "is not a number from 1")
	f("web.internal:http", "", 0, "is not a number from 1")
	f("10.0.0.1:80", "", 0, "is an address")
	f("[::1]:80", "", 0, "is an address")
	f(":80", "", 0, "can be resolved")
	f("we b:80", "", 0, "can be resolved")
	f("a..b:80", "", 0, "can be resolved")
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.set("web.test A", "web.test. 0 IN A 10.0.0.2", "web.test. 0 IN A 10.0.0.1", "web.test. 0 IN A 10.0.0.1")
	w := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}, Keep: -1})
	w.expect(t, "10.0.0.1:80 10.0.0.2:80")
	z.set("web.test AAAA", "web.test. 0 IN AAAA 2001:db8::1")
	w.expect(t, "10.0.0.1:80 10.0.0.2:80 [2001:db8::1]:80")
	z.set("web.test AAAA", "web.test. 0 IN CNAME www.test.", "www.test. 0 IN AAAA 2001:db8::2")
	w.expect(t, "10.0.0.1:80 10.0.0.2:80 [2001:db8::2]:80")
	z.set("web.test A", "web.test. 0 IN A 10.0.0.2")
	w.expect(t, "10.0.0.2:80 [2001:db8::2]:80")

	// One family without an answer: the other is followed.
	z.fail(dns.RcodeServerFailure, "web.test AAAA")
	z.set("web.test A", "web.test. 0 IN A 10.0.0.3")
	w.expect(t, "10.0.0.3:80 [2001:db8::2]:80")
	w.expectNone(t)
}

// TestOutage checks that no answer changes nothing, and that it is told.
func TestOutage(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	questions := []string{"web.test A", "web.test AAAA"}
	z.set(questions[0], "web.test. 0 IN A 10.0.0.1")
	w := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}, Keep: -1})
	w.expect(t, "10.0.0.1:80")
	for _, rcode := range []int{dns.RcodeServerFailure, dns.RcodeRefused} {
		failed := w.metrics.errors.Get()
		z.fail(rcode, questions...)
		until(t, "it fails", func() bool { return w.metrics.errors.Get() >= failed+2 })
		if r := w.Reports()[0]; !strings.Contains(r.Trouble, dns.RcodeToString[rcode]) || r.Kept != 1 || r.Since.IsZero() {
			t.Fatalf("unexpected report: %+v", r)
		}
		z.fail(0, questions...)
		until(t, "it is well again", func() bool { return w.Reports()[0].Trouble == "" })
	}
	w.expectNone(t)
	if n := strings.Count(w.log.String(), "cannot resolve the name"); n != 2 {
		t.Fatalf("unexpected log; got %d lines about two outages:\n%s", n, w.log)
	}
	z.set(questions[0], "web.test. 0 IN A 10.0.0.2")
	w.expect(t, "10.0.0.2:80")
}

// TestStrangeAnswers sends what is no answer to the question, over UDP and TCP:
// nothing changes, and it is told. One without a question once ended the
// process.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, mangle := range map[string]func(*dns.Msg){
		"no question":             func(a *dns.Msg) { a.Question = nil },
		"no question, no records": func(a *dns.Msg) { a.Question, a.Answer = nil, nil },
		"no question, no name":    func(a *dns.Msg) { a.Question, a.Answer, a.Rcode = nil, nil, dns.RcodeNameError },
		"no question, refused":    func(a *dns.Msg) { a.Question, a.Answer, a.Rcode = nil, nil, dns.RcodeRefused },
		"two questions":           func(a *dns.Msg) { a.Question = append(a.Question, a.Question[0]) },
		"another name":            func(a *dns.Msg) { a.Question[0].Name = "db.test." },
		"another type":            func(a *dns.Msg) { a.Question[0].Qtype = dns.TypeTXT },
		"a question":              func(a *dns.Msg) { a.Response = false },
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(name+" over "+network, func(t *testing.T) {
				t.Parallel()
				z := newZone(t)
				z.set("web.test A", "web.test. 0 IN A 10.0.0.1")
				cfg := Config{Name: "web.test:80", Servers: []string{z.addr}, Keep: -1}
				if network == "tcp" { // over which SRV is asked for
					z.set("_web._tcp.test SRV", "_web._tcp.test. 0 IN SRV 1 1 80 web.test.")
					cfg.Name = "_web._tcp.test"
				}
				w := watch(t, cfg)
				w.expect(t, "10.0.0.1:80")
				z.breaks(mangle)
				failed := w.metrics.errors.Get()
				until(t, "it is told of", func() bool { return w.metrics.errors.Get() >= failed+2 && w.Reports()[0].Trouble != "" })
				z.breaks(func(a *dns.Msg) { a.Question[0].Name = strings.ToUpper(a.Question[0].Name) }) // as servers may
				until(t, "all is well again", func() bool { return w.Reports()[0].Trouble == "" })
				w.expectNone(t)
			})
		}
	}
}

// TestNothing checks that an answer that there is nothing has to last.
func TestNothing(t *testing.T) {
	t.Parallel()
	for _, rcode := range []int{dns.RcodeNameError, dns.RcodeSuccess} {
		z := newZone(t)
		z.set("web.test A", "web.test. 0 IN A 10.0.0.1")
		kept := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}, Keep: time.Hour})
		gone := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}, Keep: -1})
		kept.expect(t, "10.0.0.1:80")
		gone.expect(t, "10.0.0.1:80")
		z.set("web.test A")
		z.fail(rcode, "web.test A", "web.test AAAA")
		gone.expect(t, "")
		until(t, "it says so", func() bool { return kept.metrics.nothing.Get() >= 3 })
		if r := kept.Reports()[0]; !strings.Contains(r.Trouble, "the last ones stay for 1h0m0s") || r.Kept != 1 {
			t.Fatalf("unexpected report: %+v", r)
		}
		kept.expectNone(t)
		z.fail(0, "web.test A", "web.test AAAA")
		z.set("web.test A", "web.test. 0 IN A 10.0.0.2")
		kept.expect(t, "10.0.0.1:80 10.0.0.2:80") // one that was replaced stays for a moment
		kept.expect(t, "10.0.0.2:80")
		gone.expect(t, "10.0.0.2:80")
	}
	// From the start, it is an answer.
	z := newZone(t)
	w := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}})
	w.expect(t, "")
}

func TestNoAnswerFromTheStart(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.fail(dns.RcodeServerFailure, "web.test A", "web.test AAAA")
	w := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}})
	until(t, "it fails", func() bool { return w.metrics.errors.Get() >= 2 })
	w.expectNone(t) // not even an empty list: nothing is known
}

func TestNextServer(t *testing.T) {
	t.Parallel()
	bad, good := newZone(t), newZone(t)
	bad.fail(dns.RcodeServerFailure, "web.test A", "web.test AAAA")
	good.set("web.test A", "web.test. 0 IN A 10.0.0.1")
	w := watch(t, Config{Name: "web.test:80", Servers: []string{bad.addr, good.addr}})
	w.expect(t, "10.0.0.1:80")
	if w.metrics.errors.Get() != 0 || bad.count("udp web.test A") == 0 {
		t.Fatalf("unexpected counts: %d errors, %d questions to the bad server", w.metrics.errors.Get(), bad.count("udp web.test A"))
	}
}

// TestHungServer checks that a server that does not answer is passed over.
func TestHungServer(t *testing.T) {
	t.Parallel()
	hung, good := newZone(t), newZone(t)
	hung.fail(-1, "web.test A", "web.test AAAA")
	good.set("web.test A", "web.test. 0 IN A 10.0.0.1")
	w := watch(t, Config{Name: "web.test:80", Servers: []string{hung.addr, good.addr}})
	w.expect(t, "10.0.0.1:80")
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.truncate = true
	z.set("web.test A", "web.test. 0 IN A 10.0.0.1", "web.test. 0 IN A 10.0.0.2")
	w := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}})
	w.expect(t, "10.0.0.1:80 10.0.0.2:80")
	if z.count("tcp web.test A") == 0 {
		t.Fatal("TCP was not used")
	}
}

// TestTTL checks that records are asked for again when they expire, within
// bounds.
func TestTTL(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.set("long.test A", "long.test. 3600 IN A 10.0.0.1")
	z.set("alias.test A", "alias.test. 0 IN CNAME long.test.", "long.test. 3600 IN A 10.0.0.1")
	long := watch(t, Config{Name: "long.test:80", Servers: []string{z.addr}, MaxTTL: time.Hour})
	capped := watch(t, Config{Name: "long.test:81", Servers: []string{z.addr}, MaxTTL: time.Millisecond})
	alias := watch(t, Config{Name: "alias.test:80", Servers: []string{z.addr}, MaxTTL: time.Hour})
	floor := watch(t, Config{Name: "alias.test:81", Servers: []string{z.addr}, MinTTL: time.Hour})
	long.expect(t, "10.0.0.1:80")
	floor.expect(t, "10.0.0.1:81")
	until(t, "those that expire are asked for again", func() bool {
		return capped.metrics.unchanged.Get() >= 3 && alias.metrics.unchanged.Get() >= 3
	})
	if long.metrics.unchanged.Get() != 0 || floor.metrics.unchanged.Get() != 0 {
		t.Fatal("records that hold were asked for again")
	}
}

// TestUnresolvedAlias checks that an alias that leads nowhere is called one.
func TestUnresolvedAlias(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.set("alias.test A", "alias.test. 0 IN CNAME db.example.")
	z.set("alias.test AAAA", "alias.test. 0 IN CNAME db.example.")
	w := watch(t, Config{Name: "alias.test:80", Servers: []string{z.addr}})
	until(t, "it is said", func() bool {
		r := w.Source.Reports()[0]
		return strings.Contains(r.Trouble, "an alias of db.example.") && strings.Contains(r.Trouble, "--dns-server")
	})
}

func nothingLacks([]dns.RR) bool { return false }

func TestResolvConf(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.set("web.ns.test A", "web.ns.test. 0 IN A 10.0.0.1")
	host, port, _ := strings.Cut(z.addr, ":")
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver "+host+"\nsearch other.test ns.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The file has no ports, so the test names the server and borrows the list.
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	conf.Port = port
	r := resolver{path: path, read: func(string) (*dns.ClientConfig, error) { return conf, nil }}
	got, err := r.lookup(t.Context(), "web", dns.TypeA, nothingLacks)
	if err != nil || len(got.list) != 1 {
		t.Fatalf("unexpected answer: %v, %v", got, err)
	}
	if z.count("udp web.other.test A") != 1 {
		t.Fatal("the search list was not followed in order")
	}
	if got, err = r.lookup(t.Context(), "web.", dns.TypeA, nothingLacks); err != nil || len(got.list) != 0 {
		t.Fatalf("unexpected answer for a complete name: %v, %v", got, err)
	}
	missing := resolver{path: path + ".missing", read: dns.ClientConfigFromFile}
	if _, err := missing.lookup(t.Context(), "web", dns.TypeA, nothingLacks); err == nil || !strings.Contains(err.Error(), "cannot read") {
		t.Fatalf("unexpected error without resolv.conf: %v", err)
	}
}

func TestSRV(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	const question = "_web._tcp.test SRV"
	srv := func(lines ...string) {
		for i, l := range lines {
			lines[i] = "_web._tcp.test. 0 IN SRV " + l
		}
		z.set(question, lines...)
	}
	z.set("a.test A", "a.test. 0 IN A 10.0.0.1")
	z.set("b.test A", "b.test. 0 IN A 10.0.0.2")
	srv("1 3 80 a.test.", "1 1 81 b.test.")
	var down down
	w := watch(t, Config{Name: "_web._tcp.test", Servers: []string{z.addr}, Down: down.has, Keep: -1})
	w.expect(t, "10.0.0.1:80*3 10.0.0.2:81")

	// Addresses that come along are used.
	z.mu.Lock()
	z.extra[question] = []string{"c.test. 0 IN A 10.0.0.3"}
	z.mu.Unlock()
	srv("1 3 80 a.test.", "2 1 82 C.test.")
	w.expect(t, "10.0.0.1:80*3 10.0.0.3:82+1") // and it is the pool that finds out whose turn it is

	// A target that cannot be resolved keeps its address; one that is not
	// available is none.
	z.fail(dns.RcodeServerFailure, "a.test A", "a.test AAAA")
	srv("1 4 80 a.test.", "1 0 0 .")
	w.expect(t, "10.0.0.1:80*4")
}

func TestMembersOf(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.set("a.test A", "a.test. 0 IN A 10.0.0.1", "a.test. 0 IN A 10.0.0.2")
	z.set("b.test A", "b.test. 0 IN A 10.0.0.3")
	f := func(want string, records ...string) {
		t.Helper()
		for i, l := range records {
			records[i] = "_web._tcp.test. 0 IN SRV " + l
		}
		z.set("_web._tcp.test SRV", records...)
		w := watch(t, Config{Name: "_web._tcp.test", Servers: []string{z.addr}, MinTTL: time.Hour})
		w.expect(t, want)
	}
	f("10.0.0.3:80*7", "1 7 80 b.test.")
	f("10.0.0.3:80", "1 0 80 b.test.")                                                 // no weights: all alike
	f("10.0.0.3:80 10.0.0.3:81*100", "1 0 80 b.test.", "1 1 81 b.test.")               // 0 is little, not nothing
	f("10.0.0.1:80*2 10.0.0.2:80*2 10.0.0.3:80*4", "1 4 80 a.test.", "1 4 80 b.test.") // a target's weight is its addresses'
	f("10.0.0.1:80*50 10.0.0.2:80*50 10.0.0.3:80*100", "1 1 80 a.test.", "1 1 80 b.test.")
	f("10.0.0.3:80*65535 10.0.0.3:81", "1 65535 80 b.test.", "1 0 81 b.test.")
	f("10.0.0.3:80", "1 1 80 b.test.", "2 9 80 b.test.") // the same address twice: the first priority counts
}
