package reactor

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// raced is a Racer that passes on what it is told.
type raced chan racedTo

type racedTo struct {
	s      *Socket
	addr   netip.AddrPort
	failed []Failed
}

func (r raced) Raced(s *Socket, addr netip.AddrPort, failed []Failed) {
	if s != nil {
		s.Close()
	}
	r <- racedTo{s, addr, failed}
}

// TestRace connects to the first address that answers, past those that refuse
// and those that say nothing.
func TestRace(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	good := netip.MustParseAddrPort(ln.Addr().String())
	refuses := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), good.Port())
	silent := silentAddr(t)
	impossible := netip.MustParseAddrPort("255.255.255.255:1") // fails at once
	f := func(want netip.AddrPort, failed int, addrs ...netip.AddrPort) {
		t.Helper()
		told := make(raced, 1)
		g.Loops()[0].Post(func() {
			r := g.Loops()[0].Race(addrs, 20*time.Millisecond, told)
			if len(told) > 0 {
				t.Error("told before Race has returned")
			}
			_ = r
		})
		got := <-told
		if (got.s != nil) != want.IsValid() || got.addr != want || len(got.failed) != failed {
			t.Fatalf("unexpected outcome of %v: %v, failed %v; want %v, %d failed", addrs, got.addr, got.failed, want, failed)
		}
	}
	f(good, 0, good)
	f(good, 0, good, refuses)
	f(good, 1, refuses, good)
	f(good, 2, refuses, impossible, good)
	f(good, 0, silent, good)
	f(good, 1, silent, refuses, good)
	f(netip.AddrPort{}, 1, refuses)
	f(netip.AddrPort{}, 2, impossible, impossible)
	f(netip.AddrPort{}, 2, impossible, refuses)

	// Nobody is told of a race that was given up.
	told := make(raced, 1)
	done := make(chan struct{})
	g.Loops()[0].Post(func() {
		r := g.Loops()[0].Race([]netip.AddrPort{silent, silent}, time.Millisecond, told)
		if all := r.GaveUp(ErrConnectTimeout); len(all) != 1 || all[0].Addr != silent {
			t.Errorf("unexpected attempts %v", all)
		}
		r.Close()
		r = g.Loops()[0].Race([]netip.AddrPort{impossible}, time.Millisecond, told)
		r.Close()
		g.Loops()[0].Post(func() { close(done) })
	})
	<-done
	if len(told) > 0 {
		t.Fatal("told of a race that was closed")
	}
}

// silentAddr returns an address that neither takes nor refuses connections: its
// accept queue is full.
func silentAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*syscall.SockaddrInet4).Port))
	for i, taken := 0, false; i < 10; i++ {
		c, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond)
		if err != nil && (taken || i > 2) { // else it may be that not even a SYN was sent in time
			return addr
		}
		if err != nil {
			continue
		}
		taken = true
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this system does not fill a backlog")
	return addr
}
