//go:build !linux || portable

package reactor

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// HasSockets says whether Group.Listen and Loop.Adopt are there.
const HasSockets = false

// Socket is a TCP connection that the loop makes, as a Stream: here, a Conn.
type Socket struct {
	Conn
	cancel context.CancelFunc // of the connect

	// The fields below belong to Conn.mu.
	connected bool
	err       error // how connecting failed
}

// Connect begins to connect to addr. The handler is called when the outcome is
// known, which Connected returns.
func (l *Loop) Connect(addr netip.AddrPort) (*Socket, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Socket{cancel: cancel}
	s.join(l, s)
	l.group.carriers.Go(func() { s.connect(ctx, addr) })
	return s, nil
}

func (s *Socket) connect(ctx context.Context, addr netip.AddrPort) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr.String())
	s.mu.Lock()
	s.connected, s.err = true, err
	if err == nil {
		s.nc = nc
	}
	shut := s.shut
	s.mu.Unlock()
	switch {
	case err != nil:
		s.post()
	case shut:
		nc.Close()
	default:
		s.post()
		s.readAhead(nc)
	}
}

// LocalAddr returns the connection's own address, not valid before it has one.
func (s *Socket) LocalAddr() netip.AddrPort {
	if nc := s.NetConn(); nc != nil {
		if t, ok := nc.LocalAddr().(*net.TCPAddr); ok {
			return netip.AddrPortFrom(t.AddrPort().Addr().Unmap(), t.AddrPort().Port())
		}
	}
	return netip.AddrPort{}
}

// SetUserTimeout does nothing here.
func (s *Socket) SetUserTimeout(time.Duration) {}

// Connected returns nil when a connect has succeeded, ErrAgain while its
// outcome is not known, and otherwise why it failed.
func (s *Socket) Connected() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.connected {
		return ErrAgain
	}
	return s.err
}

// Close closes the connection, or ends the connect.
func (s *Socket) Close() {
	s.cancel()
	s.Conn.Close()
}

// Pipe would hold bytes on their way in the kernel, which this system cannot.
type Pipe struct{}

func (p *Pipe) close() {}

// Held returns 0.
func (p *Pipe) Held() int { return 0 }

// BorrowPipe returns an error.
func (l *Loop) BorrowPipe() (*Pipe, error) { return nil, os.NewSyscallError("splice", syscall.ENOSYS) }

// ReturnPipe does nothing.
func (l *Loop) ReturnPipe(*Pipe) {}

// Fill is never called.
func (s *Socket) Fill(*Pipe, int) (int, error) { return 0, syscall.ENOSYS }

// Empty is never called.
func (s *Socket) Empty(*Pipe) (int, error) { return 0, syscall.ENOSYS }

// Ending returns false: it is not known before it is read.
func (s *Socket) Ending() bool { return false }

// WriteLast is Write of the last bytes.
func (s *Socket) WriteLast(p []byte) (int, error) { return s.Write(p) }
