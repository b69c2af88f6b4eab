package pump

import (
	"errors"
	"math"
	"syscall"

	"sluice/pkg/reactor"
)

// Bulk is from how many bytes in one read on the next ones are spliced. Below
// it, a copy costs less than the second system call.
const Bulk = 32 << 10

// little is up to how many bytes a backlog does not take a whole buffer of the
// loop.
const little = reactor.ScratchSize / 8

// Backlog is what has been read in one direction and the other side does not
// take yet, in the memory of the loop or in a pipe of the kernel. Its zero value
// is empty.
type Backlog struct {
	bytes []byte        // borrowed from the loop
	pipe  *reactor.Pipe // borrowed while there is something in it
	large bool          // the last read was: splice the next
}

// Empty reports whether nothing waits.
func (b *Backlog) Empty() bool { return len(b.bytes) == 0 && b.pipe == nil }

// Len returns how many bytes wait in memory.
func (b *Backlog) Len() int { return len(b.bytes) }

// Add keeps a copy of p, behind what is kept already.
func (b *Backlog) Add(l *reactor.Loop, p []byte) {
	switch {
	case len(p) == 0:
	case b.bytes == nil && len(p) <= little:
		b.bytes = append([]byte(nil), p...)
	case b.bytes == nil:
		b.bytes = l.Borrow(p)
	default:
		b.bytes = append(b.bytes, p...)
	}
}

// Flush sends to dst what that takes, and returns how many bytes it was. That
// dst takes nothing now is no error.
func (b *Backlog) Flush(dst reactor.Stream) (n int, err error) {
	switch l := dst.Loop(); {
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

// Noted remembers how many bytes the last read brought: after many, Splice is
// of use.
func (b *Backlog) Noted(n int) { b.large = n >= Bulk }

// Splice takes what there is to read of src into a pipe, at most limit bytes,
// if the direction is a bulk and both streams can be spliced; ok says so, and
// the rest is as with Stream.Read. The backlog must be empty.
func (b *Backlog) Splice(src, dst reactor.Stream, limit int64) (n int, ok bool, err error) {
	if !b.large || limit < Bulk {
		return 0, false, nil
	}
	from, ok := src.(*reactor.Socket)
	if _, both := dst.(*reactor.Socket); !ok || !both {
		b.large = false
		return 0, false, nil
	}
	l := src.Loop()
	p, err := l.BorrowPipe()
	if err != nil {
		b.large = false // there are none
		return 0, false, nil
	}
	n, err = from.Fill(p, int(min(limit, math.MaxInt32)))
	if n > 0 {
		b.pipe, b.large = p, n >= Bulk
		return n, true, nil
	}
	l.ReturnPipe(p)
	if errors.Is(err, syscall.EINVAL) { // not these two
		b.large = false
		return 0, false, nil
	}
	return 0, true, err
}

// Drop gives back what is borrowed, and forgets it.
func (b *Backlog) Drop(l *reactor.Loop) {
	if b.bytes != nil {
		l.Return(b.bytes)
		b.bytes = nil
	}
	if b.pipe != nil {
		l.ReturnPipe(b.pipe)
		b.pipe = nil
	}
}
