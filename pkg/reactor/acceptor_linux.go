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

// acceptor accepts from a listening socket in one loop.
type acceptor struct {
	loop *Loop
	fd   int
	to   Accepting
	wait Timer
}

// Listen makes all loops accept from fd, a listening non-blocking TCP socket
// that stays the caller's, and returns a function that makes them stop and
// returns when they have. Each connection wakes one loop (EPOLLEXCLUSIVE), and
// goes to the least busy one if that has much fewer.
func (g *Group) Listen(fd int, to Accepting) (stop func(), err error) {
	setOptions(fd) // what is accepted inherits them
	var started []*acceptor
	stop = func() {
		done := make(chan struct{}, len(started))
		waiting := 0
		for _, a := range started {
			if a.loop.Post(func() { a.stop(); done <- struct{}{} }) {
				waiting++
			}
		}
		for range waiting {
			<-done
		}
	}
	for _, l := range g.loops {
		a := &acceptor{loop: l, fd: fd, to: to}
		failed := make(chan error, 1)
		if !l.Post(func() { failed <- a.start() }) {
			err = fmt.Errorf("cannot accept: the loops have ended")
		} else {
			err = <-failed
		}
		if err != nil {
			stop()
			return nil, err
		}
		started = append(started, a)
	}
	return stop, nil
}

func (a *acceptor) start() error {
	if err := a.loop.poller.add(a.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE); err != nil {
		return fmt.Errorf("cannot watch a listening socket: %w", err)
	}
	a.loop.poller.acceptors[a.fd] = a
	return nil
}

func (a *acceptor) stop() {
	if a.loop.poller.acceptors[a.fd] == a {
		delete(a.loop.poller.acceptors, a.fd)
		_ = a.loop.poller.remove(a.fd)
	}
	a.loop.Stop(&a.wait)
}

// ready accepts some of the connections that wait; if there are more, the next
// wait says so.
func (a *acceptor) ready() {
	for range acceptsPerTurn {
		var sa unix.RawSockaddrAny
		size := uint32(unix.SizeofSockaddrAny)
		n, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(a.fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			a.accepted(int(n), addrPort(&sa))
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED:
		default:
			a.failed(errno)
			return
		}
	}
}

func (a *acceptor) accepted(fd int, peer netip.AddrPort) {
	to := a.loop.group.quieter(a.loop)
	if to == a.loop {
		a.to.Accept(to, fd, peer)
		return
	}
	to.streams.Add(1) // counts at once, or a burst would all go there
	if !to.Post(func() { to.streams.Add(-1); a.to.Accept(to, fd, peer) }) {
		closeFD(fd)
	}
}

// failed stops listening for a while; a level-triggered event would come back
// at once.
func (a *acceptor) failed(err error) {
	delete(a.loop.poller.acceptors, a.fd)
	_ = a.loop.poller.remove(a.fd)
	a.loop.After(&a.wait, a.to.Failed(err), AlarmFunc(func() {
		if err := a.start(); err != nil {
			a.failed(err)
		}
	}))
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
