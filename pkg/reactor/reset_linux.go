package reactor

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// isReset reports whether the socket of nc is closed although something of its
// peer's is still to be read and we have not ended our direction: it was reset,
// or timed out.
func isReset(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	reset := false
	_ = rc.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		reset = err == nil && info.State == unix.BPF_TCP_CLOSE
	})
	return reset
}
