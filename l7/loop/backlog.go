package loop

import (
	"errors"
	"math"
	"syscall"

	"sluice/pkg/reactor"
)

// bulk is from how many bytes in one read on the next ones are spliced. Below
// it, a copy costs less than the second system call.
const bulk = 32 << 10

// backlog is what has been read in one direction and the other side does not
// take yet. Nothing more is read until it is gone.
type backlog struct {
	bytes []byte        // borrowed from the loop
	pipe  *reactor.Pipe // or in the kernel; borrowed while there is something in it
	large bool          // the last read was: splice the next
}

func (b *backlog) empty() bool { return len(b.bytes) == 0 && b.pipe == nil }

// add keeps p.
func (b *backlog) add(l *reactor.Loop, p []byte) {
	switch {
	case len(p) == 0:
	case b.bytes == nil:
		b.bytes = l.Borrow(p)
	default:
		b.bytes = append(b.bytes, p...)
	}
}

// flush sends to dst what that takes, and returns how much it was.
func (b *backlog) flush(l *reactor.Loop, dst reactor.Stream) (n int, err error) {
	switch {
	case len(b.bytes) > 0:
		n, err = dst.Write(b.bytes)
		if left := copy(b.bytes, b.bytes[n:]); left > 0 {
			b.bytes = b.bytes[:left]
		} else {
			l.Return(b.bytes)
			b.bytes = nil
		}
	case b.pipe != nil:
		n, err = dst.(*reactor.Socket).Empty(b.pipe)
		if b.pipe.Held() == 0 {
			l.ReturnPipe(b.pipe)
			b.pipe = nil
		}
	}
	if errors.Is(err, reactor.ErrAgain) {
		err = nil
	}
	return n, err
}

// splice takes what there is to read of src into a pipe, at most limit bytes,
// if the direction is a bulk that can be spliced; ok says so. The backlog is
// empty before.
func (b *backlog) splice(l *reactor.Loop, src, dst reactor.Stream, limit int64) (n int, ok bool, err error) {
	if !b.large || limit < bulk {
		return 0, false, nil
	}
	from, ok := src.(*reactor.Socket)
	if _, both := dst.(*reactor.Socket); !ok || !both {
		b.large = false
		return 0, false, nil
	}
	p, err := l.BorrowPipe()
	if err != nil {
		b.large = false // there are none
		return 0, false, nil
	}
	n, err = from.Fill(p, int(min(limit, math.MaxInt32)))
	if n > 0 {
		b.pipe, b.large = p, n >= bulk
		return n, true, nil
	}
	l.ReturnPipe(p)
	if errors.Is(err, syscall.EINVAL) { // not these two
		b.large = false
		return 0, false, nil
	}
	return 0, true, err
}

// drop gives back what is borrowed.
func (b *backlog) drop(l *reactor.Loop) {
	if b.bytes != nil {
		l.Return(b.bytes)
		b.bytes = nil
	}
	if b.pipe != nil {
		l.ReturnPipe(b.pipe)
		b.pipe = nil
	}
}
