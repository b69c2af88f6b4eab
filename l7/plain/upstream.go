package plain

import (
	"net"
	"syscall"
	"time"

	"sluice/l7/http1"
	"sluice/pkg/backend"
)

// bufferSize is how much memory there is for what is read of a backend, in
// bytes; it grows with the head of a response that is larger.
const bufferSize = 32 << 10

// buffer is memory for what is read of somebody.
type buffer [bufferSize]byte

// deadlineSlack is by how much a deadline may be earlier than was asked for.
// Setting one is not free.
const deadlineSlack = 10 * time.Millisecond

// upstream is a connection to a backend. It is used by one goroutine at a time;
// Exchange.wake says who else touches its deadlines.
type upstream struct {
	*net.TCPConn
	raw     syscall.RawConn
	b       *backend.Backend
	private bool // somebody has authenticated on it: it is their connection's alone
	wrote   int  // bytes of the request that it serves

	buf  []byte // while it is in use; from r to w it was read and not taken
	r, w int
	by   time.Time // the deadline for reads; zero if that is not known

	look  func(fd uintptr) // sets alive; kept, so that a look allocates nothing
	alive bool

	// While it is idle:
	since, until time.Time
	rests        time.Time // until when it is not to be taken
	counted      bool      // among the idle connections of b
}

// newUpstream makes a connection to b one of ours. It counts as open until
// close.
func newUpstream(c *net.TCPConn, b *backend.Backend) (*upstream, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	u := &upstream{TCPConn: c, raw: raw, b: b}
	u.look = func(fd uintptr) { u.alive = Quiet(fd) }
	b.Conns.Open.Add(1)
	return u, nil
}

// isQuiet reports whether an idle connection is alive: its backend has not
// closed it and sent nothing. A byte that nobody asked for would be taken for
// the beginning of the next response.
func (u *upstream) isQuiet() bool {
	u.alive = false
	return u.r == u.w && u.raw.Control(u.look) == nil && u.alive
}

// unseen reports whether nothing of the request had come to the backend's system
// when the backend ended its direction: the FIN acknowledges what had. That end
// was no answer to it then, and nobody will read it.
func (u *upstream) unseen() bool {
	n := -1
	_ = u.raw.Control(func(fd uintptr) { n = Unacked(fd) })
	return u.wrote > 0 && n >= u.wrote
}

// isBroken reports whether the connection was reset although nobody reads of it.
func (u *upstream) isBroken() (broken bool) {
	_ = u.raw.Control(func(fd uintptr) { broken = Broken(fd) })
	return broken
}

// space returns where the next bytes are read to. It is empty if there is no
// room, which grow makes.
func (u *upstream) space() []byte {
	if u.r == u.w {
		u.r, u.w = http1.HeadRoom, http1.HeadRoom
	}
	return u.buf[u.w : len(u.buf)-http1.TailRoom]
}

// grow makes room behind what is there.
func (u *upstream) grow() {
	grown := make([]byte, 2*len(u.buf))
	copy(grown, u.buf[:u.w])
	u.buf = grown
}

// setBy sets the deadline for reads. An error means that the connection broke,
// which a read finds out.
func (u *upstream) setBy(by time.Time) {
	if d := by.Sub(u.by); u.by.IsZero() || d < 0 || d > deadlineSlack {
		u.by = by
		_ = u.SetReadDeadline(by)
	}
}

// close closes the connection.
func (u *upstream) close() {
	_ = u.Close()
	u.b.Conns.Open.Add(-1)
}

// reset closes the connection so that the backend sees it break.
func (u *upstream) reset() {
	_ = u.SetLinger(0)
	u.close()
}
