//go:build !portable

package reactor

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKeepAlive checks that a connection gets its keep-alives once it has lived
// for a while, also after a move.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	l := g.Loops()[0]
	has := func(l *Loop, s *Socket) (on bool) {
		in(l, func() {
			v, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			idle, err2 := unix.GetsockoptInt(int(s.fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			on = err == nil && err2 == nil && v == 1 && idle == int(keepAliveTime/time.Second)
		})
		return on
	}
	await := func(l *Loop, s *Socket) {
		for end := time.Now().Add(30 * time.Second); !has(l, s); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("a connection never got keep-alives")
			}
		}
	}
	s, _ := connected(t, l)
	var gone []*Socket
	for range 100 { // that do not live so long
		s, _ := connected(t, l)
		gone = append(gone, s)
	}
	in(l, func() {
		for _, s := range gone {
			s.Close()
		}
	})
	moving, _ := connected(t, l)
	moved := make(chan *Socket, 1)
	in(l, func() {
		if !moving.Move(g.Loops()[1], func(s *Socket, _ error) { moved <- s }) {
			t.Error("the socket was not moved")
		}
	})
	await(l, s)
	await(g.Loops()[1], <-moved)
	// The youngest, which have moved or closed, are forgotten a while later.
	waited := 1
	for end := time.Now().Add(patience); waited > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		in(l, func() { waited = len(l.youth.queue) - l.youth.head })
	}
	if waited != 0 {
		t.Errorf("unexpected number of connections that are waited for still; got %d", waited)
	}
}
