package preface

import (
	"errors"
	"io"
	"time"
)

// Parser looks at all that has come so far, which is something, and reports
// whether it is content. An error is final. It must not keep b, unless it says
// that it is content.
type Parser func(b []byte) (content bool, err error)

// ErrLeft says that the peer has gone without a word.
var ErrLeft = errors.New("preface: the peer has left without a word")

// Limits bound the time that a preface may take.
type Limits struct {
	// Silent is until when something must have come, and Whole until when all of
	// it must, both reckoned from the beginning. Silent counts if it is shorter.
	Silent, Whole time.Duration
}

// first returns for how long nothing may come.
func (l Limits) first() time.Duration { return min(l.Silent, l.Whole) }

// ended returns what it means that reading failed by err after what has come.
func ended(read []byte, err error) error {
	switch {
	case len(read) == 0:
		return ErrLeft
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}
