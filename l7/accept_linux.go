//go:build !portable

package l7

import (
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"sluice/pkg/reactor"
)

// accept accepts until the listener is closed: in the loops themselves, if
// connections are plain ones.
func (s *Server) accept() error {
	if s.ln.SpeaksTLS() {
		return s.acceptConns()
	}
	backoff := backoff{next: s.ln.AcceptFailed}
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
		return fmt.Errorf("cannot serve on %q: %w", s.ln.Addr(), err)
	}
	stop, err = s.cfg.Loops.Listen(fd, reactor.Accepting{
		Accept: func(l *reactor.Loop, fd int, peer netip.AddrPort) {
			backoff.reset()
			s.accepted(l, fd, peer)
		},
		Failed: backoff.failed,
	})
	close(started)
	if err != nil {
		s.ln.Close()
		return fmt.Errorf("cannot serve on %q: %w", s.ln.Addr(), err)
	}
	<-s.ln.Done()
	return nil
}

func (s *Server) accepted(l *reactor.Loop, fd int, peer netip.AddrPort) {
	place, ok := s.ln.Admit(peer.Addr())
	if !ok {
		_ = syscall.Close(fd)
		return
	}
	stream, err := l.Adopt(fd)
	if err != nil {
		s.ln.Leave(place)
		return
	}
	s.start(l, stream, &place, peer, netip.AddrPort{}, nil, nil)
}

// backoff remembers how long accepting has last been put off. It is shared by
// the loops.
type backoff struct {
	next func(err error, waited time.Duration) time.Duration

	// mu protects the field below.
	mu     sync.Mutex
	waited time.Duration
}

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
