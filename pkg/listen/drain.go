package listen

import (
	"context"
	"net"
	"time"
)

// Closed reports whether no connection will be accepted any more.
func (l *Listener) Closed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Open returns how many connections are open.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Close stops accepting at once; connections still in the kernel's queue are
// reset. Open connections are left alone. It is idempotent.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		l.mu.Lock()
		l.closing = true
		d := l.detached
		l.mu.Unlock()
		if d != nil {
			err = d.close()
		} else {
			err = l.ln.Close()
		}
		close(l.closed)
		l.mu.Lock()
		l.leaveBudget()
		l.signalEmpty()
		l.mu.Unlock()
	})
	return err
}

// Keep tells the listener that another process has the socket now, and accepts
// from it, so that nothing is lost when it closes. Others are not held off then.
func (l *Listener) Keep() { l.kept.Store(true) }

// Drain stops new connections and returns once those that the kernel had
// already queued are accepted and the listener is closed, after some 0.2 s
// and at most 2 s. Somebody must be calling AcceptConn meanwhile. On Linux new
// SYNs are dropped while the queue empties, so that no connection is
// established only to be reset; elsewhere one may be.
//
// A socket that another process goes on with is closed at once, queue and all.
func (l *Listener) Drain() {
	if l.Closed() {
		return
	}
	l.holding.Lock()
	kept := l.kept.Load()
	var err error
	if !kept {
		err = l.onSocket(holdOff)
	}
	l.holding.Unlock()
	if kept {
		l.Close()
		return
	}
	if err != nil {
		l.cfg.Logger.Warn("cannot hold off new connections while draining", "listener", l.cfg.Kind, "name", l.cfg.Name, "err", err)
	}
	end := time.Now().Add(drainMax)
	l.drainUntil.Store(&end)
	l.extendDrain()
	// AcceptConn closes the listener when nothing came for a while; for a socket
	// that was given away, the loop below does.
	ticker := time.NewTicker(drainQuiet)
	defer ticker.Stop()
	for seen := l.arrived.Load(); time.Now().Before(end); {
		select {
		case <-l.closed:
			return
		case <-ticker.C:
		}
		if n := l.arrived.Load(); n != seen {
			seen = n
		} else if l.isDetached() {
			break
		}
	}
	l.Close()
}

// Reclaim is Socket of a listener that may be draining: connections that it held
// off are established again. It fails once the listener is closed.
func (l *Listener) Reclaim() (*net.TCPListener, error) {
	l.holding.Lock()
	defer l.holding.Unlock()
	ln, err := l.Socket()
	if err != nil {
		return nil, err
	}
	l.kept.Store(true)
	if err := l.onSocket(letIn); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// onSocket calls f with the descriptor of the listening socket, unless that is
// closed.
func (l *Listener) onSocket(f func(fd int) error) error {
	l.mu.Lock()
	d := l.detached
	l.mu.Unlock()
	if d != nil {
		return d.onSocket(f)
	}
	rc, err := l.ln.SyscallConn()
	if err != nil {
		return err
	}
	var attached error
	if err := rc.Control(func(fd uintptr) { attached = f(int(fd)) }); err != nil {
		return err
	}
	return attached
}

// extendDrain moves the moment at which a draining listener gives up waiting.
func (l *Listener) extendDrain() {
	end := l.drainUntil.Load()
	if end == nil {
		return
	}
	quiet := time.Now().Add(drainQuiet)
	if quiet.After(*end) {
		quiet = *end
	}
	_ = l.ln.SetDeadline(quiet) // fails only if closed, which AcceptConn sees
}

// Wait blocks until the listener is closed and no connection is open, or
// until ctx ends, whose error it then returns.
func (l *Listener) Wait(ctx context.Context) error {
	l.mu.Lock()
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.signalEmpty()
	l.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// signalEmpty wakes Wait once nothing is open and nothing can come; l.mu is
// held.
func (l *Listener) signalEmpty() {
	if l.empty == nil || l.open > 0 || l.accepting > 0 {
		return
	}
	select {
	case <-l.closed:
		close(l.empty)
		l.empty = nil
	default:
	}
}

// leaveBudget takes the listener out of the budgets once nothing is open and
// nothing can come; l.mu is held.
func (l *Listener) leaveBudget() {
	select {
	case <-l.closed:
		if l.open == 0 {
			l.share.leave()
			l.memory.leave()
		}
	default:
	}
}
