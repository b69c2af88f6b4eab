package l4

import (
	"errors"
	"io"
	"os"
)

// MostAhead is how many bytes are read of a client that waits for a slot, so that
// it is noticed if it goes away. Who sends more stays in the kernel.
const MostAhead = 4 << 10

// HasLeft reports whether a client that waits for a slot is gone, and how, after
// a read of it has failed by err; heard says how many bytes of it there are. One
// that ends its direction before it has sent a byte has closed: who ends there is
// rare that still expects anything. That the read was stopped, by its deadline,
// says nothing.
func HasLeft(heard int, err error) (how Reason, left bool) {
	switch {
	case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
		return 0, false
	case !errors.Is(err, io.EOF):
		return ClientReset, true
	}
	return ClientEOF, heard == 0
}
