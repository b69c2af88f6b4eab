//go:build !portable

package listen

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/pkg/reactor"
)

// serveLoops lets the loops accept until the listener is closed.
func (l *Listener) serveLoops(g *reactor.Group, f func(Arrival)) error {
	backoff := backoff{next: l.acceptFailed}
	var stop func()
	started := make(chan struct{})
	fd, err := l.detachPatiently(func() {
		<-started
		if stop != nil {
			stop()
		}
	})
	if err != nil {
		close(started)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	}
	ways := make([]handed, len(g.Loops()))
	for i := range ways {
		ways[i].l = l
	}
	stop, err = g.Listen(fd, reactor.Accepting{
		Accept: func(loop *reactor.Loop, fd int, peer netip.AddrPort) {
			backoff.reset()
			place, ok := l.admit(peer.Addr())
			if !ok {
				_ = syscall.Close(fd)
				return
			}
			s, err := loop.Adopt(fd)
			if err != nil {
				l.Leave(place)
				return
			}
			l.arrive(s, peer, place, &ways[loop.Index()], f)
		},
		Failed: backoff.failed,
	})
	close(started)
	if err != nil {
		l.Close()
		return err
	}
	<-l.closed
	return nil
}

// backoff remembers how long accepting has last been put off. It is shared by
// the loops.
type backoff struct {
	next   func(err error, waited time.Duration) time.Duration
	waited atomic.Int64 // ns
}

// failed returns how long to wait. Two loops that fail at once wait as long.
func (b *backoff) failed(err error) time.Duration {
	d := b.next(err, time.Duration(b.waited.Load()))
	b.waited.Store(int64(d))
	return d
}

func (b *backoff) reset() {
	if b.waited.Load() != 0 {
		b.waited.Store(0)
	}
}
