package backend

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// client returns the address of the n-th client, in a network of its own.
func client(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// TestNetworks says which addresses are one voice.
func TestNetworks(t *testing.T) {
	t.Parallel()
	f := func(a, b string, want bool) {
		t.Helper()
		if got := network(netip.MustParseAddr(a)) == network(netip.MustParseAddr(b)); got != want {
			t.Fatalf("unexpected answer for %s and %s; got %v; want %v", a, b, got, want)
		}
	}
	f("203.0.113.7", "203.0.113.200", true)
	f("203.0.113.7", "203.0.114.7", false)
	f("203.0.113.7", "::ffff:203.0.113.9", true)
	f("10.1.2.3", "10.1.2.4", false)
	f("127.0.0.1", "127.0.0.2", false)
	f("2001:db8::1", "2001:db8::ffff:1:2:3", true)
	f("2001:db8:0:1::1", "2001:db8:0:2::1", false)
}

// TestEvidence plays scenes with four members: what each client's exchanges come
// to at each. Then the first member is looked at.
func TestEvidence(t *testing.T) {
	t.Parallel()
	f := func(what string, play func(bs []*Backend, exchange func(b, client int, request string, ok bool)), want Evidence) {
		t.Helper()
		var got Evidence
		for range 5 { // two may share a bucket, but not by every seed
			p := NewPool("web")
			bs, _ := p.Set([]Target{target("1", 1), target("2", 1), target("3", 1), target("4", 1)})
			bs[3].ReportFault(Witness{}) // from now on all is noted
			play(bs, func(b, n int, request string, ok bool) {
				w := Witness{Client: client(n), Request: []byte(request)}
				if ok {
					bs[b].ReportServed(w)
				} else {
					bs[b].ReportFault(w)
				}
			})
			if got = bs[0].Evidence(); got == want {
				return
			}
		}
		near := func(got, want int) bool { return got <= want && got >= (want+1)/2 }
		if !near(got.Against, want.Against) || !near(got.For, want.For) || !near(got.PeersFor, want.PeersFor) || !near(got.PeersAgainst, want.PeersAgainst) || got.Repeated != want.Repeated {
			t.Fatalf("unexpected evidence, %s; got %+v; want about %+v", what, got, want)
		}
	}
	type exchange = func(b, client int, request string, ok bool)
	f("broken for all", func(_ []*Backend, x exchange) {
		for n := range 10 {
			for b := range 4 {
				x(b, n, fmt.Sprint(n), b > 0)
			}
		}
	}, Evidence{Against: 10, PeersFor: 10, Repeated: 10})
	f("one client that fails everywhere", func(_ []*Backend, x exchange) {
		for i := range 100 {
			x(i%4, 1, "GET /500", false)
		}
	}, Evidence{})
	f("one client that fails here alone", func(_ []*Backend, x exchange) {
		for i := range 100 {
			x(i%4, 1, fmt.Sprint("GET /", i%4), i%4 > 0)
		}
	}, Evidence{Against: 1, PeersFor: 1})
	f("and with the same request", func(_ []*Backend, x exchange) {
		for i := range 100 {
			x(i%4, 1, "GET /", i%4 > 0)
		}
	}, Evidence{Against: 1, PeersFor: 1, Repeated: 25})
	f("garbage of many, and others that are served", func(_ []*Backend, x exchange) {
		for n := range 16 {
			x(n%4, n, "garbage", false)
			for b := range 4 {
				x(b, 100+n, "hello", true)
			}
		}
	}, Evidence{Against: 4, For: 16, PeersFor: 16, PeersAgainst: 12})
	f("two of four broken", func(_ []*Backend, x exchange) {
		for n := range 10 {
			for b := range 4 {
				x(b, n, fmt.Sprint(n), b > 1)
			}
		}
	}, Evidence{Against: 10, PeersFor: 10, Repeated: 10})
}

// TestEvidenceIsForgotten checks that old outcomes do not count, and that none
// is noted while all is well.
func TestEvidenceIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("web")
		bs, _ := p.Set([]Target{target("1", 1), target("2", 1)})
		w := Witness{Client: client(1)}
		bs[1].ReportServed(w)
		if bs[1].ledger.Load() != nil {
			t.Fatal("unexpected ledger while all is well")
		}
		time.Sleep(time.Second)
		bs[0].ReportFault(w)
		bs[1].ReportServed(w)
		if got, want := bs[0].Evidence(), (Evidence{Against: 1, PeersFor: 1}); got != want {
			t.Fatalf("unexpected evidence; got %+v; want %+v", got, want)
		}
		time.Sleep(25 * time.Second)
		if got := bs[0].Evidence(); got != (Evidence{}) {
			t.Fatalf("unexpected evidence after 25 s: %+v", got)
		}
		bs[1].ReportServed(w)
		if p.fault.Load() != 0 {
			t.Fatal("outcomes are still noted")
		}
		bs[0].ReportFault(w)
		if got, want := bs[0].Evidence(), (Evidence{Against: 1}); got != want {
			t.Fatalf("unexpected evidence; got %+v; want %+v", got, want)
		}
	})
}
