package pump

import (
	"errors"
	"io"
	"math"
	"slices"

	"sluice/pkg/reactor"
)

// share is how many bytes a direction moves before others get their turn.
const share = 4 * reactor.ScratchSize

// Pump is one direction: from a source to a destination. Its zero value has
// moved nothing.
type Pump struct {
	backlog Backlog
	ours    int   // the first bytes of the backlog that are not the source's
	moved   int64 // bytes of the source that the destination has taken
	counted int64 // part of moved that Count has told
	eof     bool  // the source has ended
	told    bool  // which the destination was told
}

// Part is what of a direction has broken.
type Part uint8

// A direction breaks at its source or at its destination.
const (
	Neither Part = iota
	Source
	Destination
)

// Ahead puts a header, which is not the source's and counts for nothing, before
// all else. It must be called before the first Move.
func (p *Pump) Ahead(header []byte) {
	p.backlog.bytes = append(slices.Clip(header), p.backlog.bytes...)
	p.ours += len(header)
}

// Hold keeps a copy of b, which was read of the source already, to be sent next.
// It must be called before the first Move. Unlike what waits for a destination
// later, it takes no more memory than it needs: many may be held for long.
func (p *Pump) Hold(b []byte) { p.backlog.bytes = append(p.backlog.bytes, b...) }

// Held returns how many bytes wait in memory for the destination.
func (p *Pump) Held() int { return p.backlog.Len() }

// End notes that the source is known to have ended: nothing more is read of it.
func (p *Pump) End() { p.eof = true }

// EOF reports whether the source has ended. What it sent before may wait still.
func (p *Pump) EOF() bool { return p.eof }

// Finished reports whether the source has ended, and all that it sent was
// taken.
func (p *Pump) Finished() bool { return p.eof && p.backlog.Empty() }

// idle reports whether the source goes on, and nothing of it is held.
func (p *Pump) idle() bool { return !p.eof && p.backlog.Empty() }

// Moved returns how many bytes of the source the destination has taken.
func (p *Pump) Moved() int64 { return p.moved }

// Count returns how many bytes the destination has taken since the last call.
func (p *Pump) Count() int64 {
	n := p.moved - p.counted
	p.counted = p.moved
	return n
}

// Move moves what can be moved now, and returns how many bytes of src's dst has
// taken. It goes on in the next turn of the loop (Loop.Again) where there is
// more than one turn's share. A stream that has broken is named, with its error.
func (p *Pump) Move(src, dst reactor.Stream) (taken int64, broke Part, err error) {
	before := p.moved
	broke, err = p.move(src, dst)
	return p.moved - before, broke, err
}

func (p *Pump) move(src, dst reactor.Stream) (Part, error) {
	for moved := 0; ; {
		if !p.backlog.Empty() {
			if !dst.Writable() {
				return Neither, nil
			}
			n, err := p.backlog.Flush(dst)
			p.took(n)
			switch {
			case err != nil:
				return Destination, err
			case !p.backlog.Empty():
				return Neither, nil
			}
		}
		if p.eof || !src.Readable() || !dst.Writable() {
			return Neither, nil
		}
		l := src.Loop()
		if moved >= share {
			l.Again(src)
			return Neither, nil
		}
		n, spliced, err := p.backlog.Splice(src, dst, math.MaxInt64)
		buf := l.Scratch()
		if !spliced {
			if n, err = src.Read(buf); err == nil {
				p.backlog.Noted(n)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, reactor.ErrAgain):
			return Neither, nil
		case errors.Is(err, io.EOF):
			p.eof = true
			return Neither, nil
		default:
			return Source, err
		}
		moved += n
		if spliced {
			continue
		}
		more, broke := p.readEnd(src, buf[n:])
		n += more
		w, err := p.write(dst, buf[:n])
		if err != nil && !errors.Is(err, reactor.ErrAgain) {
			return Destination, err
		}
		p.took(w)
		p.backlog.Add(l, buf[w:n])
		if broke != nil {
			return Source, broke
		}
	}
}

// write writes what was just read. Behind the last of it comes the end, at once.
func (p *Pump) write(dst reactor.Stream, b []byte) (int, error) {
	if to, ok := dst.(*reactor.Socket); ok && p.eof {
		return to.WriteLast(b)
	}
	return dst.Write(b)
}

// readEnd reads on at once where the end of src is known to have come, so that
// it is passed on in one packet with what src sent last. It returns how many more
// bytes came, and how src has broken if it has.
func (p *Pump) readEnd(src reactor.Stream, buf []byte) (n int, broke error) {
	s, ok := src.(*reactor.Socket)
	if !ok || !s.Ending() || !s.Readable() || len(buf) == 0 {
		return 0, nil
	}
	n, err := s.Read(buf)
	switch {
	case errors.Is(err, io.EOF):
		p.eof = true
	case err != nil && !errors.Is(err, reactor.ErrAgain):
		return 0, err
	}
	return n, nil
}

// took notes that dst has taken n bytes.
func (p *Pump) took(n int) {
	ours := min(p.ours, n)
	p.ours -= ours
	p.moved += int64(n - ours)
}
