package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// detached is a listening socket in the hands of event loops.
type detached struct {
	stop func()

	// mu protects the field below: once it is closed, its number is soon
	// somebody else's.
	mu sync.Mutex
	fd int // -1 once closed
}

func (d *detached) close() error {
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	fd := d.fd
	d.fd = -1
	return syscall.Close(fd)
}

// onSocket calls f with the socket, unless that is closed.
func (d *detached) onSocket(f func(fd int) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return nil
	}
	return f(d.fd)
}

// detach gives the listening socket, which is non-blocking, to somebody who
// accepts from it on their own, and takes it from AcceptConn, which must not have
// been called. They ask admit about every connection. The listener still owns
// the descriptor: Close, and Drain when the queue is empty, call stop, which
// must make them stop and return when they have, and then close it.
func (l *Listener) detach(stop func()) (fd int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return 0, net.ErrClosed
	}
	if l.detached != nil {
		return 0, errors.New("listen: the socket was given away already")
	}
	rc, err := l.ln.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("cannot give a listening socket away: %w", err)
	}
	var dupErr error
	err = rc.Control(func(f uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, dupErr = syscall.Dup(int(f)); dupErr == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if err = errors.Join(err, dupErr); err != nil {
		return 0, fmt.Errorf("cannot give a listening socket away: %w", err)
	}
	// A copy, because Go's own poller would wake up for every connection.
	l.ln.Close()
	l.detached = &detached{fd: fd, stop: stop}
	return fd, nil
}

// detachPatiently is detach that waits, as AcceptConn does, while there is no
// descriptor for the copy; connections wait in the kernel's queue. It returns
// net.ErrClosed if the listener is closed meanwhile.
func (l *Listener) detachPatiently(stop func()) (fd int, err error) {
	for backoff := time.Duration(0); ; {
		if fd, err = l.detach(stop); !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			return fd, err
		}
		backoff = l.acceptFailed(err, backoff)
		select {
		case <-time.After(backoff):
		case <-l.closed:
			return 0, net.ErrClosed
		}
	}
}

func (l *Listener) isDetached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.detached != nil
}

// Socket returns another handle of the listening socket, for a listener that is
// to take its place: until both are closed, no connection that the kernel has
// queued is lost. The caller owns it.
func (l *Listener) Socket() (*net.TCPListener, error) {
	l.mu.Lock()
	d := l.detached
	l.mu.Unlock()
	var f *os.File
	var err error
	if d != nil {
		f, err = d.file()
	} else {
		f, err = l.ln.File()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot hand a listening socket over: %w", err)
	}
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("cannot hand a listening socket over: %w", err)
	}
	return ln.(*net.TCPListener), nil
}

// file returns a copy of the descriptor.
func (d *detached) file() (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return nil, net.ErrClosed
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Dup(d.fd)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "listener"), nil
}
