package http1

import (
	"errors"
	"math"
)

const (
	MaxChunkLine = 256      // bytes of a chunk's size line, extensions included
	MaxTrailer   = 8 << 10  // bytes of the trailer section
	maxOverhead  = 16 << 10 // bytes of framing beyond what chunks of a fair size need
	maxDigits    = 15       // of a chunk's size: an int64 holds them
)

// Errors of a chunked body.
var (
	errChunkLine = errors.New("malformed chunk size line")
	errChunkEnd  = errors.New("no line end after chunk data")
	errTrailer   = errors.New("malformed or too long trailer section")
	errOverhead  = errors.New("chunks are mostly framing")
)

// bodyState is where in a body a parser is.
type bodyState uint8

const (
	inData      bodyState = iota // left bytes are to come; of NoLength any number
	inSize                       // of a chunk
	inPadding                    // spaces after a size
	inExtension                  // of a chunk
	inSizeEnd                    // CR has come, LF is to come
	inDataCR                     // the CR after a chunk's data is to come
	inDataLF                     // the LF after it
	inTrailer                    // in a line of the trailer section
	inTrailerLF                  // CR has come there
	bodyDone
)

// Body undoes the framing of a message's body. It is a push parser: bytes go
// in as they come, in pieces of any size, and the same events come out
// however they were cut.
//
// Framing that two programs could read differently is an error: line ends
// other than CRLF, sizes that are anything but hexadecimal digits, control
// bytes in extensions, trailer lines that are no fields. Extensions are
// dropped and bounded, by line and altogether (CVE-2023-39326).
type Body struct {
	Length   int64 // as Head.Length: what frames the body
	left     int64 // bytes to come, of the body or of the chunk
	excess   int   // bytes of framing beyond what is fair
	line     int   // bytes of the current line
	digits   int   // of the current size
	state    bodyState
	padded   bool    // spaces may follow a size, as old servers send them
	Own      Settler // of whom some fields must not trail; nil: none
	Trailer  []byte  // the lines of the trailer section that have come
	lineFrom int     // where in trailer the current one begins
}

// Settler knows fields of which sluice alone decides what there is of them.
type Settler interface {
	Settles(name []byte) bool
}

// NewRequestBody returns the parser of a request's body framed by length.
func NewRequestBody(length int64) Body {
	b := Body{Length: length}
	switch {
	case length == Chunked:
		b.state = inSize
	case length == 0:
		b.state = bodyDone
	case length > 0:
		b.left = length
	}
	return b
}

// NewResponseBody returns the parser of a response's body framed by length. Old
// servers put spaces behind a chunk's size.
func NewResponseBody(length int64) Body {
	b := NewRequestBody(length)
	b.padded = true
	return b
}

// Done reports whether the whole body has come.
func (b *Body) Done() bool { return b.state == bodyDone }

// End is told that the connection has ended and reports whether the body has
// ended with it, as it should.
func (b *Body) End() bool {
	if b.Length == NoLength {
		b.state = bodyDone
	}
	return b.Done()
}

// Next takes bytes off the front of p: n of them, up to and with the next
// piece of data, which is a part of p, or all if there is none. After an error
// the body is lost.
func (b *Body) Next(p []byte) (data []byte, n int, err error) {
	for n < len(p) && b.state != bodyDone {
		if b.state == inData {
			if b.Length == NoLength {
				return p[n:], len(p), nil
			}
			data = p[n:]
			if int64(len(data)) > b.left {
				data = data[:b.left]
			}
			n += len(data)
			if b.left -= int64(len(data)); b.left == 0 {
				b.state = bodyDone
				if b.Length == Chunked {
					b.state = inDataCR
				}
			}
			return data, n, nil
		}
		if err := b.frame(p[n]); err != nil {
			return nil, n, err
		}
		n++
	}
	return nil, n, nil
}

// SkipAll is Next for all of p whose data nobody wants: it returns how many bytes
// of p were taken.
func (b *Body) SkipAll(p []byte) (n int, err error) {
	for n < len(p) && b.state != bodyDone && err == nil {
		var k int
		_, k, err = b.Next(p[n:])
		n += k
	}
	return n, err
}

// Raw returns how many bytes are to come that are data and nothing else, so
// that they may be passed on unseen, and Skip is then told how many were.
func (b *Body) Raw() int64 {
	switch {
	case b.state != inData || b.Length == Chunked:
		return 0
	case b.Length == NoLength:
		return math.MaxInt64
	}
	return b.left
}

// Skip is told that n bytes of Raw were passed on.
func (b *Body) Skip(n int) {
	if b.Length == NoLength {
		return
	}
	if b.left -= int64(n); b.left == 0 {
		b.state = bodyDone
	}
}

// frame takes one byte of a chunked body that is not data.
func (b *Body) frame(c byte) error {
	switch b.state {
	case inSize, inPadding, inExtension:
		return b.frameSize(c)
	case inSizeEnd:
		if c != '\n' {
			return errChunkLine
		}
		return b.sizeEnded()
	case inDataCR:
		if c != '\r' {
			return errChunkEnd
		}
		b.state = inDataLF
	case inDataLF:
		if c != '\n' {
			return errChunkEnd
		}
		b.state = inSize
	case inTrailer:
		switch {
		case c == '\r':
			b.state = inTrailerLF
		case len(b.Trailer) == MaxTrailer || (c < ' ' && c != '\t') || c == 0x7f:
			return errTrailer
		default:
			b.Trailer = append(b.Trailer, c) // ParseField judges the line
		}
	case inTrailerLF:
		if c != '\n' {
			return errTrailer
		}
		return b.trailerLineEnded()
	}
	return nil
}

// frameSize takes a byte of a line with a chunk's size.
func (b *Body) frameSize(c byte) error {
	if b.line++; b.line > MaxChunkLine {
		return errChunkLine
	}
	switch {
	case b.state == inSize && isHex(c):
		if b.digits++; b.digits > maxDigits {
			return errChunkLine
		}
		b.left = b.left<<4 | int64(hexValue(c))
		return nil
	case b.digits == 0:
		return errChunkLine
	case c == '\r':
		b.state = inSizeEnd
		return nil
	case b.state == inExtension:
		if (c < ' ' && c != '\t') || c == 0x7f {
			return errChunkLine
		}
		return nil
	case c == ';':
		b.state = inExtension
		return nil
	case b.padded && (c == ' ' || c == '\t'):
		b.state = inPadding
		return nil
	}
	return errChunkLine
}

// sizeEnded begins a chunk, or the trailer section after the last one.
func (b *Body) sizeEnded() error {
	const fair = 16 // as Go's net/http, which also allows for two bytes of framing a byte
	b.excess = int(max(int64(b.excess+b.line)-fair-2*min(b.left, maxOverhead), 0))
	if b.excess > maxOverhead {
		return errOverhead
	}
	b.line, b.digits = 0, 0
	if b.state = inData; b.left == 0 {
		b.state = inTrailer
	}
	return nil
}

// trailerLineEnded judges the line of the trailer section that has ended. An
// empty one ends the body.
func (b *Body) trailerLineEnded() error {
	line := b.Trailer[b.lineFrom:]
	if len(line) == 0 {
		b.state = bodyDone
		return nil
	}
	if _, ok := ParseField(line); !ok {
		return errTrailer
	}
	b.Trailer = append(b.Trailer, "\r\n"...)
	b.lineFrom = len(b.Trailer)
	b.state = inTrailer
	return nil
}

// Decode is Next for all of p: it moves the data to the front of where the
// first piece is and returns it, with how many bytes of p were taken. p is
// garbage afterwards. On an error, data is what came before it.
func (b *Body) Decode(p []byte) (data []byte, n int, err error) {
	from, to := 0, 0
	for n < len(p) && b.state != bodyDone {
		piece, k, err := b.Next(p[n:])
		n += k
		if len(piece) > 0 {
			switch start := n - len(piece); {
			case to == 0:
				from, to = start, n
			case to == start:
				to = n
			default:
				to += copy(p[to:], piece)
			}
		}
		if err != nil {
			return p[from:to], n, err
		}
	}
	return p[from:to], n, nil
}
