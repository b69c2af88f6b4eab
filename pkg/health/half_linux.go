package health

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// delayACK has the kernel put off the ACK that makes a connection, in the hope
// that data will go with it, for 40 ms at least.
func delayACK(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0) // without it, all ends by a FIN
	})
}

// abandon has Close reset the connection, unless the ACK has been sent: for the
// other side there is none yet then, and it never hears of it. Only the SYN has
// been sent as long as no other segment has but copies of it.
func abandon(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.Segs_out == 0 || info.Segs_out > info.Total_retrans+1 {
			return
		}
		_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}
