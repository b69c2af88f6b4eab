//go:build !portable

package reactor

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// acceptsPerTurn is how many connections a loop accepts before it turns to
	// its streams again.
	acceptsPerTurn = 16
)

// Accepting is what a listening socket's owner does with its connections.
// The functions are called in loops, several at once.
type Accepting struct {
	// Accept gets a new connection's descriptor, which it owns: Loop.Adopt
	// takes it.
	Accept func(l *Loop, fd int, peer netip.AddrPort)
	// Failed is told of an error and returns when to try again.
	Failed func(err error) time.Duration
}

// acceptors accept from one listening socket, one a loop: those of the loops of
// the front do.
type acceptors struct{ all []*acceptor }

// fit makes those accept that should. It may be called from any goroutine, and
// does not wait.
func (as *acceptors) fit() {
	for _, a := range as.all {
		a.loop.Post(a.fitOrRetry)
	}
}

// acceptor accepts from a listening socket in one loop.
type acceptor struct {
	loop  *Loop
	fd    int
	to    Accepting
	wait  Timer
	batch int // how many it accepts in a turn
	ended bool
}

// Listen makes the loops of the front accept from fd, a listening non-blocking
// TCP socket that stays the caller's, and returns a function that makes them stop
// and returns when they have. Each connection wakes one loop (EPOLLEXCLUSIVE),
// whose it is.
func (g *Group) Listen(fd int, to Accepting) (stop func(), err error) {
	setOptions(fd) // what is accepted inherits them
	as := &acceptors{}
	for _, l := range g.loops {
		as.all = append(as.all, &acceptor{loop: l, fd: fd, to: to, batch: 1})
	}
	g.mu.Lock()
	g.fronts[as] = struct{}{}
	g.mu.Unlock()
	stop = func() {
		g.mu.Lock()
		delete(g.fronts, as)
		g.mu.Unlock()
		done := make(chan struct{}, len(as.all))
		waiting := 0
		for _, a := range as.all {
			if a.loop.Post(func() { a.stop(); done <- struct{}{} }) {
				waiting++
			}
		}
		for range waiting {
			<-done
		}
	}
	for _, a := range as.all {
		failed := make(chan error, 1)
		if !a.loop.Post(func() { failed <- a.fit() }) {
			err = fmt.Errorf("cannot accept: the loops have ended")
		} else {
			err = <-failed
		}
		if err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// setFront makes the first n loops accept.
func (g *Group) setFront(n int) {
	g.front.Store(int32(n))
	g.mu.Lock()
	defer g.mu.Unlock()
	for as := range g.fronts {
		as.fit()
	}
}

// fit makes a accept if its loop is of the front, and else not.
func (a *acceptor) fit() error {
	on := a.loop.poller.acceptors[a.fd] == a
	switch want := !a.ended && a.loop.index < int(a.loop.group.front.Load()); {
	case want && !on && !a.wait.Set():
		if err := a.loop.poller.add(a.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE); err != nil {
			return fmt.Errorf("cannot watch a listening socket: %w", err)
		}
		a.loop.poller.acceptors[a.fd] = a
	case !want:
		a.unwatch()
		a.loop.Stop(&a.wait)
	}
	return nil
}

func (a *acceptor) unwatch() {
	if a.loop.poller.acceptors[a.fd] == a {
		delete(a.loop.poller.acceptors, a.fd)
		_ = a.loop.poller.remove(a.fd)
	}
}

func (a *acceptor) stop() {
	a.ended = true
	_ = a.fit() // which does not fail where nothing is begun
}

// ready accepts some of the connections that wait; if there are more, the next
// wait says so. How many it tries follows how many there were, as one try too
// many is a call in vain.
func (a *acceptor) ready() {
	for n := 0; n < a.batch; {
		var sa unix.RawSockaddrAny
		size := uint32(unix.SizeofSockaddrAny)
		fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(a.fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			n++
			a.to.Accept(a.loop, int(fd), addrPort(&sa))
		case unix.EAGAIN:
			a.batch = max(1, n)
			return
		case unix.EINTR, unix.ECONNABORTED:
		default:
			a.failed(errno)
			return
		}
	}
	a.batch = min(2*a.batch, acceptsPerTurn)
}

// failed stops listening for a while; a level-triggered event would come back
// at once.
func (a *acceptor) failed(err error) {
	a.unwatch()
	a.loop.After(&a.wait, a.to.Failed(err), AlarmFunc(a.fitOrRetry))
}

func (a *acceptor) fitOrRetry() {
	if err := a.fit(); err != nil {
		a.failed(err)
	}
}

// addrPort returns the address in sa.
func addrPort(sa *unix.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), swapped(v4.Port))
	case unix.AF_INET6:
		v6 := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(v6.Addr).Unmap(), swapped(v6.Port))
	}
	return netip.AddrPort{}
}

// swapped returns a port from network byte order.
func swapped(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}
