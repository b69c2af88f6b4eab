package tcp

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// IsBroken reports whether the kernel has closed the connection below c although
// we have not ended our direction, as the caller knows: it was reset, or timed
// out. The kernel tells of that once, and whoever writes may have heard it; a
// read then returns 0 bytes, as if the peer had ended.
func IsBroken(c net.Conn) (broken bool) {
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		broken = err == nil && info.State == unix.BPF_TCP_CLOSE
	})
	return broken
}

// SetUserTimeout sets TCP's user timeout (RFC 5482) below c, in whole
// milliseconds, unless d is 0 or less. An error means that the connection broke,
// which shows later.
func SetUserTimeout(c net.Conn, d time.Duration) {
	if d <= 0 {
		return
	}
	control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d/time.Millisecond))
	})
}

// control calls f with the socket below c, if there is one.
func control(c net.Conn, f func(fd int)) {
	sc, ok := Innermost(c).(syscall.Conn)
	if !ok {
		return
	}
	if rc, err := sc.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { f(int(fd)) })
	}
}
