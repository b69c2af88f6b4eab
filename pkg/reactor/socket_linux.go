//go:build !portable

package reactor

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HasSockets says whether Group.Listen and Loop.Adopt are there.
const HasSockets = true

// Socket is a TCP socket as a Stream.
type Socket struct {
	base
	ending   bool // the peer has ended or broken the connection: reads must go on to find out
	urgent   bool // there is urgent data, at which a read stops short
	borrowed bool // the descriptor is somebody else's; see Watch
	fd       int32
}

var _ Stream = (*Socket)(nil)

// socketEvents is what every socket is registered for, once.
const socketEvents = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// Adopt makes fd, a non-blocking TCP socket, a stream of the loop, which then
// owns fd. On an error fd is closed.
func (l *Loop) Adopt(fd int) (*Socket, error) {
	s, err := l.join(fd, socketEvents&0xffffffff)
	if err != nil {
		closeFD(fd)
	}
	return s, err
}

// join makes fd a stream of the loop, which waits for events.
func (l *Loop) join(fd int, events uint32) (*Socket, error) {
	if err := l.poller.add(fd, events); err != nil {
		return nil, fmt.Errorf("cannot watch a socket: %w", err)
	}
	for fd >= len(l.poller.sockets) {
		l.poller.sockets = append(l.poller.sockets, make([]*Socket, 1024)...)
	}
	s := &Socket{base: base{loop: l}, fd: int32(fd)}
	l.poller.sockets[fd] = s
	l.streams.Add(1)
	return s, nil
}

// Connect begins to connect to addr. The handler is called when the outcome is
// known, which Connected returns. An error returned at once is this machine's
// own, or the kernel's word on addr.
//
// A socket that connects to itself is refused. TCP allows it: the kernel has
// chosen, for the socket's own port, the one that it connects to, on which
// nobody listens. It would read what it writes, and keep the server that has
// gone from coming back.
func (l *Loop) Connect(addr netip.AddrPort) (*Socket, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	family := unix.AF_INET6
	if addr.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := newSocket(family)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	noDelay(fd)
	if err := connect(fd, addr); err != nil && err != unix.EINPROGRESS {
		closeFD(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	if addr.Port() >= l.poller.localPorts && localAddr(fd) == netip.AddrPortFrom(addr.Addr().WithZone(""), addr.Port()) {
		resetOnClose(fd) // so that it does not stay in TIME_WAIT on the server's port
		closeFD(fd)
		return nil, os.NewSyscallError("connect", unix.ECONNREFUSED)
	}
	return l.adoptYoung(fd)
}

func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// event notes what epoll says.
func (s *Socket) event(events uint32) {
	const ending = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&ending != 0 {
		s.ending = true
		s.readable = true
	}
	if events&unix.EPOLLERR != 0 {
		// The error itself is left to the operation that meets it: asking for it
		// would make the kernel forget it.
		s.broken = true
	}
	if events&(unix.EPOLLIN|unix.EPOLLPRI) != 0 {
		s.readable = true
	}
	if events&unix.EPOLLPRI != 0 {
		s.urgent = true
	}
	if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		s.writable = true
	}
}

// LocalAddr returns the socket's own address, not valid if it broke.
func (s *Socket) LocalAddr() netip.AddrPort { return localAddr(int(s.fd)) }

// SetUserTimeout sets TCP's user timeout (RFC 5482), in whole milliseconds. An
// error means that the socket broke, which shows later.
func (s *Socket) SetUserTimeout(d time.Duration) {
	setOption(int(s.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int32(d/time.Millisecond))
}

// Connected returns nil when a connect has succeeded, ErrAgain while its
// outcome is not known, and otherwise why it failed.
func (s *Socket) Connected() error {
	if !s.writable {
		return ErrAgain
	}
	if !s.ending {
		return nil // a failure would have come as an error event
	}
	errno, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if errno != 0 {
		return os.NewSyscallError("connect", syscall.Errno(errno))
	}
	return nil
}

// Read reads what there is; see Stream.
func (s *Socket) Read(p []byte) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		// A non-blocking call returns at once: the scheduler need not know.
		n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			if n == 0 {
				s.readable = false
				return 0, io.EOF
			}
			if int(n) < len(p) && !s.ending && !s.urgent {
				s.readable = false // the next byte raises an edge
			}
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			s.readable, s.urgent = false, false
			return 0, ErrAgain
		default:
			s.readable = false
			return 0, errno
		}
	}
}

// Ending reports whether the peer is known to have ended its direction, or to
// have broken off; what it sent before may not be read yet.
func (s *Socket) Ending() bool { return s.ending }

// Write writes what the socket takes; see Stream.
func (s *Socket) Write(p []byte) (int, error) { return s.write(p, unix.MSG_NOSIGNAL) }

// WriteLast is Write of the last bytes: CloseWrite or Close must follow in the
// same turn, whose FIN goes out with them, in one packet.
func (s *Socket) WriteLast(p []byte) (int, error) { return s.write(p, unix.MSG_NOSIGNAL|unix.MSG_MORE) }

func (s *Socket) write(p []byte, flags uintptr) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			if int(n) < len(p) {
				s.writable = false // room raises an edge
			}
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			s.writable = false
			return 0, ErrAgain
		default:
			return 0, errno
		}
	}
}

// CloseWrite sends FIN after what was written.
func (s *Socket) CloseWrite() error {
	if s.closed {
		return net.ErrClosed
	}
	return shutdownWrite(int(s.fd))
}

// Reset makes Close send RST.
func (s *Socket) Reset() {
	if !s.closed {
		resetOnClose(int(s.fd))
	}
}

// Close closes the socket at the end of the turn. It is idempotent.
func (s *Socket) Close() {
	if !s.closed {
		s.closed = true
		s.handler = nil
		s.loop.poller.closing = append(s.loop.poller.closing, s)
	}
}

// closeClosed closes the sockets that Close was called for in this turn.
func (l *Loop) closeClosed() {
	p := &l.poller
	for i, s := range p.closing {
		p.sockets[s.fd] = nil
		if s.borrowed {
			_ = p.remove(int(s.fd))
		} else {
			closeFD(int(s.fd))
		}
		p.closing[i] = nil
	}
	l.streams.Add(-int64(len(p.closing)))
	p.closing = p.closing[:0]
}

// closeSockets closes all of them.
func (l *Loop) closeSockets() {
	for _, s := range l.poller.sockets {
		if s != nil {
			s.Close()
		}
	}
	l.closeClosed()
}
