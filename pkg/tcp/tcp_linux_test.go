package tcp

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func userTimeout(t *testing.T, c net.Conn) (d time.Duration) {
	t.Helper()
	control(c, func(fd int) {
		ms, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err != nil {
			t.Error(err)
		}
		d = time.Duration(ms) * time.Millisecond
	})
	return d
}
