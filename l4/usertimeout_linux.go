package l4

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/pkg/reactor"
)

// setUserTimeout sets TCP's user timeout on a stream or a connection, and what
// it wraps, unless d is 0. An error means that it broke, which shows later.
func setUserTimeout(c any, d time.Duration) {
	if d <= 0 {
		return
	}
	switch c := c.(type) {
	case *reactor.Socket:
		c.SetUserTimeout(d)
	case *reactor.Conn:
		setUserTimeout(c.NetConn(), d)
	case interface{ NetConn() net.Conn }: // TLS
		setUserTimeout(c.NetConn(), d)
	case syscall.Conn:
		if rc, err := c.SyscallConn(); err == nil {
			_ = rc.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d/time.Millisecond))
			})
		}
	}
}
