package backend

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// OwnFault reports whether err, of a connect, is this machine's: it has run out
// of ports, descriptors or memory, which no backend is to be blamed for.
func OwnFault(err error) bool {
	return isAny(err, syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM)
}

// atOnce is up to when a refusal is one at once: a round trip to the other side
// of the earth.
const atOnce = 300 * time.Millisecond

// Refused reports whether a connect that failed of err after some time found out
// at once that there is nobody: the address answered with a reset, cannot be
// reached, or does not exist. That cost neither time nor anybody's work, so that
// another backend may be tried as if it had not been.
func Refused(err error, after time.Duration) bool { return after < atOnce && refused(err) }

func refused(err error) bool {
	var all several
	if errors.As(err, &all) { // the addresses of a name
		for _, e := range all {
			if !refused(e) {
				return false
			}
		}
		return true
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsNotFound
	}
	return isAny(err, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH)
}

func isAny(err error, list ...syscall.Errno) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
