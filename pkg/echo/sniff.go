package echo

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// verdict is what the first bytes of a connection say of its protocol.
type verdict uint8

const (
	undecided verdict = iota
	isHTTP
	isTCP
)

// classify judges the first bytes of a connection.
func classify(first []byte) verdict {
	v := isTCP
	for _, m := range [...]string{
		"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "TRACE ", "CONNECT ",
	} {
		n := min(len(first), len(m))
		switch {
		case string(first[:n]) != m[:n]:
		case n == len(m):
			return isHTTP
		default:
			v = undecided
		}
	}
	return v
}

// patience bounds the wait for the rest of what may become a method.
const patience = 250 * time.Millisecond

// sniff reads the first bytes of c and judges them. A connection that ends
// before it is known to be HTTP is TCP.
func sniff(c *net.TCPConn) ([]byte, verdict) {
	buf := make([]byte, 4096)
	n := 0
	for {
		m, err := c.Read(buf[n:])
		n += m
		v := classify(buf[:n])
		if v == undecided && err != nil {
			v = isTCP
		}
		if v != undecided {
			_ = c.SetReadDeadline(time.Time{}) // fails only if closed, which the next read sees
			return buf[:n], v
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
	}
}

// peeked is a connection whose first bytes have been read already. It hides
// the methods of *net.TCPConn that would read past them.
type peeked struct {
	net.Conn
	first bytes.Reader
}

func (p *peeked) Read(b []byte) (int, error) {
	if p.first.Len() > 0 {
		return p.first.Read(b)
	}
	return p.Conn.Read(b)
}

// handoff is a net.Listener whose connections were accepted elsewhere.
type handoff struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{} // closed by Close
	once   sync.Once
}

func newHandoff(addr net.Addr) *handoff {
	return &handoff{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// hand passes c on, or closes it if nobody accepts any more.
func (h *handoff) hand(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Addr() net.Addr { return h.addr }

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}
