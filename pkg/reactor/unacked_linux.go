//go:build !portable

package reactor

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Unacked returns how many of the bytes written the peer's system has not
// acknowledged, about, or -1 if that is not known.
func (c *Conn) Unacked() int {
	c.mu.Lock()
	nc, waiting := c.nc, len(c.out)
	c.mu.Unlock()
	for {
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = inner.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return -1
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	if err := rc.Control(func(fd uintptr) {
		if q, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); err == nil {
			n = waiting + q
		}
	}); err != nil {
		return -1
	}
	return n
}
