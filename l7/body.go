package l7

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	maxChunkLine = 256     // bytes of a chunk's size line, extensions included
	maxTrailer   = 8 << 10 // bytes of the trailer section
)

// Errors of a chunked body.
var (
	errChunkLine = errors.New("l7: malformed chunk size line")
	errChunkEnd  = errors.New("l7: no line end after chunk data")
	errTrailer   = errors.New("l7: malformed or too long trailer section")
)

// body reads the body of a response piece by piece, without copying.
type body struct {
	br      *bufio.Reader
	length  int64 // as of response.length
	left    int64 // of the body or of the current chunk
	pending int   // bytes of the last piece, still in br
	inChunk bool  // the line end of a chunk's data is still to come
}

func newBody(br *bufio.Reader, length int64) body {
	return body{br: br, length: length, left: max(length, 0)}
}

// next returns the next piece of the body. It is valid until the next call.
// The error is io.EOF only where the body really ends, and
// io.ErrUnexpectedEOF if the connection ended before it.
func (b *body) next() ([]byte, error) {
	if b.pending > 0 {
		if _, err := b.br.Discard(b.pending); err != nil {
			return nil, err
		}
		b.pending = 0
	}
	if b.length == noLength {
		return b.piece()
	}
	if b.length == chunked && b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return nil, unexpected(err)
		}
		if b.left == 0 {
			return nil, io.EOF
		}
	}
	if b.left == 0 {
		return nil, io.EOF
	}
	p, err := b.piece()
	if err != nil {
		return nil, unexpected(err)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	b.pending = len(p)
	b.left -= int64(len(p))
	return p, nil
}

// unexpected turns an end that must not be into an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// piece returns what is buffered, or else waits for more.
func (b *body) piece() ([]byte, error) {
	if b.br.Buffered() == 0 {
		if _, err := b.br.Peek(1); err != nil {
			return nil, err
		}
	}
	p, err := b.br.Peek(b.br.Buffered())
	b.pending = len(p)
	return p, err
}

// nextChunk reads up to the data of the next chunk, or up to the end of the
// body, where left stays 0.
func (b *body) nextChunk() error {
	if b.inChunk {
		var end [2]byte
		if _, err := io.ReadFull(b.br, end[:]); err != nil {
			return err
		}
		if string(end[:]) != "\r\n" {
			return errChunkEnd
		}
		b.inChunk = false
	}
	line, err := readLine(b.br, maxChunkLine)
	if err != nil {
		return err
	}
	n, ok := parseChunkLine(line)
	if !ok {
		return errChunkLine
	}
	if n > 0 {
		b.left, b.inChunk = n, true
		return nil
	}
	for budget := maxTrailer; ; {
		line, err := readLine(b.br, budget)
		if errors.Is(err, errChunkLine) {
			return errTrailer
		}
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if _, ok := parseField(line); !ok {
			return errTrailer
		}
		budget -= len(line)
	}
}

// readLine reads a line that ends in CRLF and returns it without. It is valid
// until the next read.
func readLine(br *bufio.Reader, limit int) ([]byte, error) {
	for n := 1; ; {
		b, err := br.Peek(n)
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			if i < 1 || b[i-1] != '\r' || i > limit {
				return nil, errChunkLine
			}
			_, err = br.Discard(i + 1) // leaves b's bytes where they are
			return b[:i-1], err
		}
		if len(b) > limit {
			return nil, errChunkLine
		}
		if err != nil {
			return nil, err
		}
		n = max(br.Buffered(), n+1)
		if n == len(b) {
			n++
		}
	}
}

// parseChunkLine parses the line before a chunk's data: its size in
// hexadecimal digits, which spaces and an extension may follow.
func parseChunkLine(line []byte) (int64, bool) {
	const maxDigits = 15 // an int64 holds them
	var n int64
	i := 0
	for ; i < len(line) && isHex(line[i]); i++ {
		n = n<<4 | int64(hexValue(line[i]))
	}
	if i == 0 || i > maxDigits || !isFieldValue(line[i:]) {
		return 0, false
	}
	rest := bytes.TrimLeft(line[i:], " \t")
	return n, len(rest) == 0 || rest[0] == ';'
}
