//go:build !portable

package reactor

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxEvents is how many events one wait brings at most.
const maxEvents = 256

// poller waits for events by epoll(7).
type poller struct {
	epoll  int
	waker  int         // eventfd(2)
	awake  atomic.Bool // waker was written and not read yet
	events [maxEvents]unix.EpollEvent

	sockets   []*Socket         // by descriptor
	acceptors map[int]*acceptor // by descriptor
	closing   []*Socket         // closed in this turn

	localPorts uint16 // the lowest port that the kernel may choose
}

func (p *poller) open() (err error) {
	p.epoll, p.waker = -1, -1
	p.acceptors = make(map[int]*acceptor)
	p.localPorts = firstLocalPort()
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("cannot create an epoll instance: %w", err)
	}
	if p.waker, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = p.add(p.waker, unix.EPOLLIN)
	}
	if err != nil {
		p.close()
		return fmt.Errorf("cannot create an event descriptor: %w", err)
	}
	return nil
}

func (p *poller) close() {
	for _, fd := range []int{p.epoll, p.waker} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (p *poller) add(fd int, events uint32) error {
	return epollControl(p.epoll, unix.EPOLL_CTL_ADD, fd, events)
}

func (p *poller) remove(fd int) error {
	return epollControl(p.epoll, unix.EPOLL_CTL_DEL, fd, 0)
}

// wake ends the current wait, or the next one. It may be called from any
// goroutine.
func (p *poller) wake() {
	if p.awake.Swap(true) {
		return
	}
	one := [8]byte{1}
	_, _ = unix.Write(p.waker, one[:]) // full means that it is awake
}

// woken is called when an event says that wake was.
func (p *poller) woken() {
	var b [8]byte
	_, _ = unix.Read(p.waker, b[:])
	p.awake.Store(false)
}

// wait waits for events, at most for d, and returns how many there are. If
// busy, the P is kept: the scheduler's signal for a garbage collection
// interrupts the call, which then returns 0.
func (p *poller) wait(d time.Duration, busy bool) int {
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	var n uintptr
	var errno syscall.Errno
	if busy || ms == 0 {
		n, _, errno = syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), maxEvents, uintptr(ms), 0, 0)
	} else {
		n, _, errno = syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), maxEvents, uintptr(ms), 0, 0)
	}
	if errno != 0 {
		return 0 // EINTR; nothing else can happen to a descriptor of our own
	}
	return int(n)
}

// dispatch tells the handlers of the first n events.
func (l *Loop) dispatch(n int) {
	for next := 0; next < n; {
		l.dispatchFrom(&next, n)
	}
}

// dispatchFrom returns early after a panic.
func (l *Loop) dispatchFrom(next *int, n int) {
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p)
		}
	}()
	for *next < n {
		e := &l.poller.events[*next]
		*next++
		fd := int(e.Fd)
		if fd < len(l.poller.sockets) {
			if s := l.poller.sockets[fd]; s != nil {
				if !s.closed {
					s.event(e.Events)
					l.tell(s, s.handler)
				}
				continue
			}
		}
		if fd == l.poller.waker {
			l.poller.woken()
		} else if a := l.poller.acceptors[fd]; a != nil {
			a.ready()
		}
	}
}
