package l4

import (
	"net"

	"golang.org/x/sys/unix"
)

// gone reports whether the peer has broken the connection, or ended its
// direction before it has sent a byte. It reads nothing.
func gone(c *net.TCPConn) (gone bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		switch info.State {
		case unix.BPF_TCP_CLOSE:
			gone = true
		case unix.BPF_TCP_CLOSE_WAIT:
			n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
			gone = err == nil && n == 0 // SIOCINQ leaves the FIN out
		}
	})
	return gone
}
