//go:build !portable

package pump

import (
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/pkg/reactor"
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

// TestLastInOnePacket has a server send something and end before the pump looks:
// the client gets both at once. An acknowledgement may come in between by chance,
// but not each time.
func TestLastInOnePacket(t *testing.T) {
	t.Parallel()
	least := uint32(1 << 31)
	for range 5 {
		least = min(least, lastPackets(t))
	}
	if least != 1 {
		t.Errorf("unexpected number of segments for the last bytes and the end; got %d; want 1", least)
	}
}

// lastPackets returns in how many segments the last bytes and the end came.
func lastPackets(t *testing.T) uint32 {
	t.Helper()
	loop := make(chan *reactor.Loop, 1)
	client, server, end := join(t, 0, func(j *joined) { loop <- j.l })
	l := <-loop
	if _, err := client.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	held, release := make(chan struct{}), make(chan struct{})
	l.Post(func() { close(held); <-release })
	<-held
	before := segments(t, client)
	if _, err := server.Write([]byte("pong")); err != nil {
		t.Fatal(err)
	}
	server.Close()
	close(release)
	if b, err := io.ReadAll(client); string(b) != "pong" || err != nil {
		t.Fatalf("unexpected answer: %q, %v", b, err)
	}
	n := segments(t, client) - before
	client.Close()
	if s := await(t, end); s.State != Ended || s.Side != Server || s.Up != 4 || s.Down != 4 {
		t.Errorf("unexpected end %+v", s)
	}
	return n
}
