//go:build !portable

package reactor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// PipeSize is how many bytes a pipe is asked to hold, the most that Linux
	// grants by default. It may hold less.
	PipeSize = 1 << 20
	// freePipes is how many empty pipes a loop keeps for the next borrower.
	freePipes = 16
)

// Pipe holds bytes on their way from one socket to another in the kernel, by
// splice(2).
type Pipe struct {
	r, w  int
	held  int
	group *Group
}

// errPipes means that there are as many pipes as LimitPipes allows.
var errPipes = errors.New("reactor: there are too many pipes")

// Held returns how many bytes are in the pipe.
func (p *Pipe) Held() int { return p.held }

// BorrowPipe returns an empty pipe. ReturnPipe gives it back.
func (l *Loop) BorrowPipe() (*Pipe, error) {
	if n := len(l.pipes); n > 0 {
		p := l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return p, nil
	}
	if g := l.group; g.pipes.Add(1) > int64(g.maxPipes) && g.maxPipes > 0 {
		g.pipes.Add(-1)
		return nil, errPipes
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		l.group.pipes.Add(-1)
		return nil, fmt.Errorf("cannot create a pipe: %w", err)
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, PipeSize) // it works with less
	return &Pipe{r: fds[0], w: fds[1], group: l.group}, nil
}

// ReturnPipe takes a pipe from BorrowPipe back. What is still in it is lost.
func (l *Loop) ReturnPipe(p *Pipe) {
	if p.held == 0 && len(l.pipes) < freePipes {
		l.pipes = append(l.pipes, p)
		return
	}
	p.close()
}

func (p *Pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
	p.group.pipes.Add(-1)
}

// Fill moves what there is to read, at most limit bytes, into p, which must be
// empty: then ErrAgain means that there is nothing. It is Stream.Read otherwise.
// splice never gets past a byte of urgent data: EINVAL says that Read must.
func (s *Socket) Fill(p *Pipe, limit int) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	if s.urgent {
		return 0, unix.EINVAL
	}
	n, errno := splice(int(s.fd), p.w, min(limit, PipeSize))
	switch {
	case errno == unix.EAGAIN:
		s.readable = false
		return 0, ErrAgain
	case errno != 0:
		s.readable = false
		return 0, errno
	case n == 0:
		s.readable = false
		return 0, io.EOF
	}
	p.held += n
	return n, nil
}

// Empty moves what is in p to the socket, as much as it takes. It is
// Stream.Write otherwise. That it took less than there is does not mean that
// it is full, unlike with Write: only EAGAIN promises an event.
func (s *Socket) Empty(p *Pipe) (int, error) {
	if s.closed {
		return 0, net.ErrClosed
	}
	moved := 0
	for p.held > 0 {
		n, errno := splice(p.r, int(s.fd), p.held)
		switch {
		case errno == unix.EAGAIN:
			s.writable = false
			if moved == 0 {
				return 0, ErrAgain
			}
			return moved, nil
		case errno != 0:
			return moved, errno
		}
		p.held -= n
		moved += n
	}
	return moved, nil
}

func splice(from, to, limit int) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(limit), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
