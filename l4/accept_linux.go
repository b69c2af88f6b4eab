//go:build !portable

package l4

import (
	"net/netip"
	"sync"
	"syscall"
	"time"

	"sluice/pkg/reactor"
)

// serveLoops lets the loops accept until the listener is closed.
func (s *Server) serveLoops() error {
	backoff := newBackoff(s.ln.AcceptFailed)
	var stop func()
	started := make(chan struct{})
	fd, err := s.ln.Detach(func() {
		<-started
		if stop != nil {
			stop()
		}
	})
	if err != nil {
		close(started)
		return err
	}
	stop, err = s.cfg.Loops.Listen(fd, reactor.Accepting{
		Accept: func(l *reactor.Loop, fd int, peer netip.AddrPort) {
			backoff.reset()
			s.accept(l, fd, peer)
		},
		Failed: backoff.failed,
	})
	close(started)
	if err != nil {
		s.ln.Close()
		return err
	}
	<-s.ln.Done()
	return nil
}

// accept begins the walk of a connection; it runs in l.
func (s *Server) accept(l *reactor.Loop, fd int, peer netip.AddrPort) {
	place, ok := s.ln.Admit(peer.Addr())
	if !ok {
		_ = syscall.Close(fd)
		return
	}
	client, err := l.Adopt(fd)
	if err != nil {
		s.ln.Leave(place)
		return
	}
	if s.cfg.UserTimeout > 0 {
		client.SetUserTimeout(s.cfg.UserTimeout)
	}
	x := s.newSession(client, peer)
	x.place, x.placed = place, true
	x.welcome(s.ln.ExpectsHeader(peer.Addr()), nil)
}

// backoff remembers how long accepting has last been put off. It is shared by
// the loops.
type backoff struct {
	next func(err error, waited time.Duration) time.Duration

	// mu protects the fields below.
	mu     sync.Mutex
	waited time.Duration
}

func newBackoff(next func(error, time.Duration) time.Duration) *backoff { return &backoff{next: next} }

func (b *backoff) failed(err error) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waited = b.next(err, b.waited)
	return b.waited
}

func (b *backoff) reset() {
	b.mu.Lock()
	b.waited = 0
	b.mu.Unlock()
}
