package dns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// addresses returns A records of n addresses of web.test, and the members that
// they are.
func addresses(n int) (records []string, members string) {
	var list []string
	for i := range n {
		ip := fmt.Sprintf("10.0.0.%d", 100+i)
		records = append(records, "web.test. 0 IN A "+ip)
		list = append(list, ip+":80")
	}
	return records, strings.Join(list, " ")
}

// services returns SRV records of n targets with addresses of their own, which
// come along.
func services(z *zone, n int) (records []string, members string) {
	var list []string
	z.mu.Lock()
	defer z.mu.Unlock()
	z.extra["_web._tcp.test SRV"] = nil
	for i := range n {
		records = append(records, fmt.Sprintf("_web._tcp.test. 0 IN SRV 1 1 80 h%d.test.", i))
		z.extra["_web._tcp.test SRV"] = append(z.extra["_web._tcp.test SRV"], fmt.Sprintf("h%d.test. 0 IN A 10.0.0.%d", i, 100+i))
		list = append(list, fmt.Sprintf("10.0.0.%d:80", 100+i))
	}
	return records, strings.Join(list, " ")
}

// TestCutAnswers checks that answers over UDP which lack members without saying
// so, as Consul's do, lose none.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.cut = 19
	records, all := services(z, 60)
	z.set("_web._tcp.test SRV", records...)
	records, _ = addresses(100)
	z.set("web.test A", records...)
	z2 := newZone(t) // an answer that could be larger, and yet lacks somebody
	z2.set("web.test A", records[:8]...)
	srv := watch(t, Config{Name: "_web._tcp.test", Servers: []string{z.addr}})
	srv.expect(t, all)
	a := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}})
	few := watch(t, Config{Name: "web.test:80", Servers: []string{z2.addr}})
	_, eight := addresses(8)
	few.expect(t, eight)
	z2.mu.Lock()
	z2.cut = 3
	z2.mu.Unlock()
	for _, w := range []*watched{srv, few} {
		until(t, "it is resolved often", func() bool { return w.metrics.unchanged.Get() >= 20 })
		w.expectNone(t)
		if w.metrics.rotating.Get() != 0 || w.Reports()[0].Trouble != "" {
			t.Errorf("unexpected trouble: %+v", w.Reports())
		}
	}
	// 19 addresses are not as many as fit, and believed; but the next answer
	// lacks some of them, and then TCP is asked.
	until(t, "all are there", func() bool {
		select {
		case got := <-a.updates:
			return len(strings.Fields(got)) == 100
		default:
			return false
		}
	})
}

// TestRotatingAnswers checks that the members of a name whose answers are never
// whole are the union of those answers, and that this is said.
func TestRotatingAnswers(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.rotate = 8
	records, all := addresses(30)
	z.set("web.test A", records...)
	z.mu.Lock()
	z.rcode["web.test AAAA"] = 0
	z.mu.Unlock()
	w := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}, Keep: time.Minute})
	for got := ""; got != all; {
		select {
		case next := <-w.updates:
			if len(next) < len(got) {
				t.Fatalf("lost a member: got %q after %q", next, got)
			}
			got = next
		case <-time.After(patience):
			t.Fatalf("not all members are known; got %q", got)
		}
	}
	until(t, "it is resolved often", func() bool { return w.metrics.unchanged.Get() >= 20 })
	w.expectNone(t)
	if r := w.Reports()[0]; w.metrics.rotating.Get() != 1 || !strings.Contains(r.Trouble, "leave members out, others each time") || r.Kept == 0 {
		t.Errorf("unexpected report: %+v", r)
	}
	if n := strings.Count(w.log.String(), "are doubtful"); n != 1 {
		t.Errorf("unexpected log, with %d lines:\n%s", n, w.log)
	}
}

// TestWithoutTCP checks that members stay that a cut answer lacks, if the
// server does not answer over TCP.
func TestWithoutTCP(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	z.cut, z.noTCP = 5, true
	records, all := services(z, 12)
	z.set("_web._tcp.test SRV", records...)
	w := watch(t, Config{Name: "_web._tcp.test", Servers: []string{z.addr}})
	until(t, "all are known", func() bool {
		select {
		case got := <-w.updates:
			return got == all
		default:
			return false
		}
	})
	if n := z.count("tcp _web._tcp.test SRV"); n != 1 {
		t.Errorf("unexpected number of questions over TCP, which is never answered: %d", n)
	}
}

// TestLostAtOnce checks that half of the members, gone at once, stay while they
// pass their check.
func TestLostAtOnce(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	records, all := addresses(6)
	z.set("web.test A", records...)
	var bad down
	up := func(addr string) bool { return !bad.has(addr) }
	w := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}, Up: up, Down: bad.has, Keep: time.Hour})
	w.expect(t, all)
	z.set("web.test A", records[:2]...)
	w.expect(t, all) // the same ones, four of them as absent
	if r := w.Reports()[0]; !strings.Contains(r.Trouble, "half of the members or less") || r.Kept != 4 {
		t.Errorf("unexpected report: %+v", r)
	}
	bad.set("10.0.0.105:80")
	w.expect(t, strings.Join(strings.Fields(all)[:5], " "))
	z.set("web.test A", records[:5]...)
	w.expect(t, strings.Join(strings.Fields(all)[:5], " ")) // listed again
	until(t, "all is well", func() bool { return w.Reports()[0].Trouble == "" })
}

// TestNoTurnsByChance has a member leave and another come between any two
// answers, so that each of two asked in a row lists somebody whom the other does
// not: members do not take turns for that, and those that are gone leave.
func TestNoTurnsByChance(t *testing.T) {
	t.Parallel()
	z := newZone(t)
	records, _ := addresses(8)
	z.set("web.test A", records...)
	answers := 0
	z.mu.Lock()
	z.rcode["web.test AAAA"] = 0
	z.mangle = func(a *dns.Msg) {
		if a.Question[0].Qtype != dns.TypeA {
			return
		}
		answers++
		a.Answer = append(a.Answer, parse([]string{fmt.Sprintf("web.test. 0 IN A 10.1.%d.%d", answers/250, answers%250)})...)
	}
	z.mu.Unlock()
	w := watch(t, Config{Name: "web.test:80", Servers: []string{z.addr}, Keep: time.Hour})
	until(t, "it is resolved often", func() bool {
		if n := len(strings.Fields(w.drain())); n > 8+4*swapAnswers {
			t.Fatalf("unexpected members, %d of them, of 9 in each answer", n)
		}
		return w.metrics.changed.Get() >= 50
	})
	if r := w.Reports()[0]; w.metrics.rotating.Get() != 0 || r.Trouble != "" {
		t.Errorf("unexpected report: %+v", r)
	}
}
