//go:build !linux

package plain

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// Quiet reports whether there is nothing to read of the socket fd, and no end
// either. It does not wait.
func Quiet(fd uintptr) bool {
	var b [1]byte
	_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return errors.Is(err, unix.EAGAIN)
}

// Unacked returns how many of the bytes that were written to the socket fd its
// peer's system has not acknowledged, or -1 if that is not known.
func Unacked(uintptr) int { return -1 }

// Broken reports whether the socket fd was reset, which is not known here.
func Broken(uintptr) bool { return false }

// Ended returns io.EOF if the peer of the socket fd has ended its direction and
// nothing is left to read, or why the connection broke; nil if neither is known.
func Ended(fd uintptr) error {
	var b [1]byte
	n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || err == nil && n > 0:
		return nil
	case err == nil:
		return io.EOF
	}
	return err
}
