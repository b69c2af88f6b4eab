package plain

import (
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Quiet reports whether there is nothing to read of the socket fd, and no end
// either. It does not wait.
func Quiet(fd uintptr) bool {
	var b [1]byte
	_, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return errno == unix.EAGAIN
}

// Unacked returns how many of the bytes that were written to the socket fd its
// peer's system has not acknowledged, or -1 if that is not known.
func Unacked(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	if err != nil {
		return -1
	}
	return n
}

// Broken reports whether the socket fd was reset, or timed out, although its peer
// or we have something left to say: nobody who does not read is told.
func Broken(fd uintptr) bool {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State == unix.BPF_TCP_CLOSE
}

// Ended returns io.EOF if the peer of the socket fd has ended its direction and
// nothing is left to read, or why the connection broke; nil if neither is known.
func Ended(fd uintptr) error {
	var b [1]byte
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR || errno == 0 && n > 0:
		return nil
	case errno == 0:
		return io.EOF
	}
	return errno
}
