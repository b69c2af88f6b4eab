//go:build !portable

package reactor

import (
	"time"

	"golang.org/x/sys/unix"
)

// TCP's keep-alives find out that a peer's host is gone. A connection that lives
// shorter than they take to begin needs none, so those that are made here get them
// when they have lived for a while: three calls less for each that has not. Those
// that are accepted inherit them.
const (
	keepAliveAfter = time.Second
	// keepAliveTime is how long nothing came before the peer is asked, and then
	// every so often. net.Dialer has the same.
	keepAliveTime = 15 * time.Second
)

// young is a socket that has no keep-alives yet.
type young struct {
	s     *Socket
	since int64 // of Now
}

// youth holds the young sockets of a loop, the oldest first.
type youth struct {
	queue []young
	head  int
	timer Timer
}

// growUp gives keep-alives to those that have lived long enough.
func (l *Loop) growUp() {
	y := &l.youth
	for ; y.head < len(y.queue); y.head++ {
		x := &y.queue[y.head]
		if left := x.since + int64(keepAliveAfter) - l.Now(); left > 0 && !x.s.closed {
			l.After(&y.timer, time.Duration(left), AlarmFunc(l.growUp))
			break
		}
		if !x.s.closed {
			keepAlive(int(x.s.fd))
		}
		*x = young{}
	}
	// What is left moves to the front when that is no more than what is gone.
	if left := len(y.queue) - y.head; left <= y.head {
		copy(y.queue, y.queue[y.head:])
		clear(y.queue[left:])
		y.queue, y.head = y.queue[:left], 0
	}
}

// adoptYoung is Adopt of a socket that has no keep-alives yet, or may have none:
// who moved it may have been about to give it some.
func (l *Loop) adoptYoung(fd int) (*Socket, error) {
	s, err := l.Adopt(fd)
	if err != nil {
		return nil, err
	}
	y := &l.youth
	y.queue = append(y.queue, young{s, l.Now()})
	if !y.timer.Set() {
		l.After(&y.timer, keepAliveAfter, AlarmFunc(l.growUp))
	}
	return s, nil
}

// setOptions makes what a listening socket accepts send at once, with
// keep-alives. Errors mean that the socket broke, which shows later.
func setOptions(fd int) {
	noDelay(fd)
	keepAlive(fd)
}

// noDelay turns Nagle's algorithm off.
func noDelay(fd int) { setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

func keepAlive(fd int) {
	const seconds = int32(keepAliveTime / time.Second)
	setOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	setOption(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
	setOption(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
}
