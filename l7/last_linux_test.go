//go:build !portable

package l7

import (
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"
)

// segments returns how many TCP segments have come to c.
func segments(t *testing.T, c *net.TCPConn) uint32 {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	if err2 := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err2 != nil || err != nil {
		t.Fatal(err2, err)
	}
	return info.Segs_in
}

// TestLastInOnePacket checks that a response that is the last one on its
// connection comes together with the end of that: one of a backend, one of
// sluice's own. The first segment acknowledges the request.
func TestLastInOnePacket(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil, newBackend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET /../.. HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		least := uint32(1 << 31)
		for range 20 {
			c := f.raw()
			before := segments(t, c.TCPConn)
			c.write(request)
			c.response("GET")
			c.wantEOF()
			least = min(least, segments(t, c.TCPConn)-before)
			c.Close()
		}
		if least > 2 {
			t.Errorf("unexpected number of segments for the answer to %q; got %d; want 2", request, least)
		}
	}
}
