package backend

import (
	"errors"
	"syscall"
)

// OwnFault reports whether err, of a connect, is this machine's: it has run out
// of ports, descriptors or memory, which no backend is to be blamed for.
func OwnFault(err error) bool {
	for _, e := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
