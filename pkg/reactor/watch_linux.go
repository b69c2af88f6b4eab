//go:build !portable

package reactor

import "golang.org/x/sys/unix"

// watchEvents is what a descriptor is watched for, once each time that there is
// news.
const watchEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// Watch makes fd, a TCP socket that stays somebody else's, a stream of the loop
// until Release: so whoever waits for its next bytes needs no goroutine for it.
// The handler is told when there is something to read, or the end of it; it
// releases the stream, and its owner reads. The descriptor must not be closed
// before.
func (l *Loop) Watch(fd int) (*Socket, error) {
	s, err := l.join(fd, watchEvents&0xffffffff)
	if err == nil {
		s.borrowed = true
	}
	return s, err
}

// Release ends what Watch began. The handler is not called again, and the
// descriptor is not closed.
func (s *Socket) Release() {
	if s.closed {
		return
	}
	s.closed, s.handler = true, nil
	p := &s.loop.poller
	if p.sockets[s.fd] == s { // else it was closed, and the number is another's
		_ = p.remove(int(s.fd))
		p.sockets[s.fd] = nil
	}
	s.loop.streams.Add(-1)
}
