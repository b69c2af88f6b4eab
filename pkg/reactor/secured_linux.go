//go:build !portable

package reactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sluice/pkg/tcp"
)

// securedBehind is how much is encrypted in one piece, whose records leave
// together, and so how much of a Secured may wait to be sent.
const securedBehind = 64 << 10

// Secured is TLS upon a Socket, as a Stream, from the end of the handshake on:
// records are read and written in the loop, without a goroutine. TLS takes a read
// that has nothing yet for one that timed out, after which reading goes on; what
// it writes is collected, and leaves by one call.
type Secured struct {
	base
	sock   *Socket
	tls    *tls.Conn
	below  net.Conn // what the handshake was made upon; its Close gives its place back
	out    []byte   // records that the socket has not taken
	outErr error    // how writing failed
	finish bool     // CloseWrite was called
	reset  bool     // Reset was called
}

var _ Stream = (*Secured)(nil)

// diverter is what TLS has to be upon for a loop to carry it; see tcp.Line.
type diverter interface {
	net.Conn
	NetConn() net.Conn
	Divert(to io.ReadWriter)
}

// secure makes nc a Secured, if it is TLS upon what can be diverted. On an error
// nc is as good as closed.
func (l *Loop) secure(nc net.Conn) (*Secured, error) {
	tc, ok := nc.(*tls.Conn)
	if !ok {
		return nil, nil
	}
	line, ok := tc.NetConn().(diverter)
	if !ok {
		return nil, nil
	}
	s := &Secured{tls: tc, below: tcp.Innermost(line)}
	fd, err := detach(s.below)
	if err != nil {
		return nil, fmt.Errorf("cannot take a connection over: %w", err)
	}
	if s.sock, err = l.Adopt(fd); err != nil {
		s.below.Close()
		return nil, err
	}
	s.loop = l
	// The handshake may have read more than its own.
	s.readable, s.writable = true, true
	s.sock.Handle(s)
	line.Divert((*wire)(s))
	l.conns[s] = struct{}{}
	return s, nil
}

// detach takes the socket of c from Go's poller and returns it. c is left to be
// closed for what else that does.
func detach(c net.Conn) (fd int, err error) {
	if d, ok := c.(interface{ Detach() (*net.TCPConn, error) }); ok {
		if c, err = d.Detach(); err != nil {
			return 0, err
		}
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	rc, err := t.SyscallConn()
	if err != nil {
		return 0, err
	}
	var dupErr error
	err = rc.Control(func(f uintptr) { fd, dupErr = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, dupErr); err == nil {
		// A copy, because Go's own poller would wake up for everything that comes.
		t.Close()
	}
	return fd, err
}

// wire is a Secured as what TLS reads from and writes to.
type wire Secured

// Read reads what the socket has.
func (w *wire) Read(p []byte) (int, error) {
	if !w.sock.readable {
		return 0, errNotYet{}
	}
	n, err := w.sock.Read(p)
	if err == ErrAgain {
		err = errNotYet{}
	}
	return n, err
}

// Write collects what is to be sent.
func (w *wire) Write(p []byte) (int, error) {
	w.loop.records = append(w.loop.records, p...)
	return len(p), nil
}

// errNotYet says that a read has nothing yet, in a way that TLS survives.
type errNotYet struct{}

func (errNotYet) Error() string   { return ErrAgain.Error() }
func (errNotYet) Timeout() bool   { return true }
func (errNotYet) Temporary() bool { return true }

// NetConn returns the TLS connection, for its addresses and its state.
func (s *Secured) NetConn() net.Conn { return s.tls }

// SetUserTimeout is Socket.SetUserTimeout.
func (s *Secured) SetUserTimeout(d time.Duration) { s.sock.SetUserTimeout(d) }

// Unacked is Socket.Unacked, with what was not sent yet.
func (s *Secured) Unacked() int {
	n := s.sock.Unacked()
	if n >= 0 {
		n += len(s.out)
	}
	return n
}

// Ready is told of the socket.
func (s *Secured) Ready(Stream) {
	s.flush()
	s.broken = s.sock.broken
	s.readable = s.readable || s.sock.readable
	s.loop.tell(s, s.handler)
}

// Read reads what there is; see Stream.
func (s *Secured) Read(p []byte) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.tls.Read(p)
	s.flush() // what TLS itself had to answer
	if n > 0 {
		return n, nil // an error comes again
	}
	s.readable = false
	if errors.As(err, new(errNotYet)) {
		err = ErrAgain
	}
	return 0, err
}

// Write takes what there is room for, and all of it while the socket takes all; see
// Stream. That it succeeded does not mean that the bytes were sent.
func (s *Secured) Write(p []byte) (int, error) {
	switch {
	case s.closed, s.finish:
		return 0, net.ErrClosed
	case s.outErr != nil:
		return 0, s.outErr
	case len(p) == 0:
		return 0, nil
	case len(s.out) > 0:
		s.writable = false
		return 0, ErrAgain
	}
	n := 0
	for n < len(p) && len(s.out) == 0 {
		m, err := s.tls.Write(p[n:min(len(p), n+securedBehind)])
		s.flush()
		if n += m; err == nil {
			err = s.outErr
		}
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// flush sends what was collected, behind what the socket has not taken before.
func (s *Secured) flush() {
	l := s.loop
	records := l.records
	l.records = l.records[:0]
	if len(s.out) > 0 {
		s.out = append(s.out, records...)
		records = s.out
	}
	for len(records) > 0 && s.outErr == nil {
		n, err := s.sock.Write(records)
		records = records[n:]
		if err == ErrAgain {
			break
		}
		s.outErr = err
	}
	switch {
	case len(records) == 0 || s.outErr != nil:
		s.out = nil
	case len(s.out) > 0:
		s.out = append(s.out[:0], records...)
	default:
		s.out = append([]byte(nil), records...)
	}
	s.writable = len(s.out) == 0
	if s.writable && s.finish && s.outErr == nil && !s.sock.closed {
		s.outErr = s.sock.CloseWrite()
		if s.outErr == nil {
			s.outErr = net.ErrClosed
		}
	}
}

// CloseWrite ends our direction after what was written: TLS says goodbye first.
func (s *Secured) CloseWrite() error {
	if s.closed {
		return net.ErrClosed
	}
	if s.finish {
		return nil
	}
	err := s.tls.CloseWrite()
	s.finish = true
	s.flush()
	if err == nil && s.outErr != net.ErrClosed {
		err = s.outErr
	}
	return err
}

// Reset makes Close send RST.
func (s *Secured) Reset() {
	if !s.closed {
		s.reset = true
		s.sock.Reset()
	}
}

// Close closes the connection once what was written before is sent. It is
// idempotent.
func (s *Secured) Close() {
	if s.closed {
		return
	}
	if !s.reset && !s.finish {
		_ = s.tls.CloseWrite() // without a word if it cannot be said
		s.flush()
	}
	s.closed, s.handler = true, nil
	delete(s.loop.conns, s)
	if len(s.out) > 0 && !s.reset {
		s.linger()
		return
	}
	s.sock.Close()
	s.below.Close()
}

// linger leaves the socket to a goroutine that sends what is left.
func (s *Secured) linger() {
	l, fd := s.loop, int(s.sock.fd)
	_ = l.poller.remove(fd)
	l.poller.sockets[fd] = nil
	l.streams.Add(-1)
	s.sock.closed, s.sock.handler = true, nil
	file := os.NewFile(uintptr(fd), "lingering")
	nc, err := net.FileConn(file)
	file.Close()
	if err != nil {
		s.below.Close()
		return
	}
	_ = nc.SetWriteDeadline(time.Now().Add(connLinger))
	l.group.leave(nc)
	l.group.carriers.Go(func() {
		_, _ = nc.Write(s.out) // nobody is left to hear of it
		nc.Close()
		s.below.Close()
		l.group.left(nc)
	})
}

// abandon closes the connection at once, for a loop that ends.
func (s *Secured) abandon() {
	s.out, s.reset = nil, true
	s.Close()
}
