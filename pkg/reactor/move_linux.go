//go:build !portable

package reactor

import "golang.org/x/sys/unix"

// Move gives the socket, connected and without a byte under way, to another
// loop, in which then is called with it, or with an error if it could not be
// watched there and is closed. It returns false if the socket cannot be moved
// and is what it was. If the other loop has ended, then is never called.
func (s *Socket) Move(to *Loop, then func(*Socket, error)) bool {
	l, fd := s.loop, int(s.fd)
	if s.closed || s.again || l.poller.remove(fd) != nil {
		return false
	}
	s.closed, s.handler = true, nil
	l.poller.sockets[fd] = nil
	l.streams.Add(-1)
	if !to.Post(func() { then(to.adoptYoung(fd)) }) {
		closeFD(fd)
	}
	return true
}

// MovePair does the same with two sockets of one loop, together.
func MovePair(a, b *Socket, to *Loop, then func(a, b *Socket, err error)) bool {
	l := a.loop
	fds := [2]int{int(a.fd), int(b.fd)}
	if a.again || b.again || a.closed || b.closed || l.poller.remove(fds[0]) != nil {
		return false
	}
	if l.poller.remove(fds[1]) != nil {
		_ = l.poller.add(fds[0], socketEvents&0xffffffff)
		return false
	}
	for i, s := range [2]*Socket{a, b} {
		s.closed, s.handler = true, nil
		l.poller.sockets[fds[i]] = nil
	}
	l.streams.Add(-2)
	if !to.Post(func() {
		a, err := to.adoptYoung(fds[0])
		if err != nil {
			closeFD(fds[1])
			then(nil, nil, err)
			return
		}
		b, err := to.adoptYoung(fds[1])
		if err != nil {
			a.Close()
		}
		then(a, b, err)
	}) {
		closeFD(fds[0])
		closeFD(fds[1])
	}
	return true
}

// Unacked returns how many of the bytes written the peer's system has not
// acknowledged, or -1 if that is not known.
func (s *Socket) Unacked() int {
	if s.closed {
		return -1
	}
	n, err := unix.IoctlGetInt(int(s.fd), unix.TIOCOUTQ)
	if err != nil {
		return -1
	}
	return n
}
