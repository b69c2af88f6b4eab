package tcp

import (
	"io"
	"net"
	"time"
)

// Line is a net.Conn to put below TLS, whose library keeps the connection that it
// was given: Divert has somebody else carry the bytes from then on.
type Line struct {
	net.Conn
	ahead []byte // what was read of Conn before
	over  io.ReadWriter
}

// NewLine returns a Line upon c, of which ahead, which it keeps, was read
// already.
func NewLine(c net.Conn, ahead []byte) *Line { return &Line{Conn: c, ahead: ahead} }

// NetConn returns what the Line is upon.
func (l *Line) NetConn() net.Conn { return l.Conn }

// Divert makes every Read and Write from now on one of to; no call may be under
// way. Deadlines have no meaning then.
func (l *Line) Divert(to io.ReadWriter) { l.over = to }

// Read reads what was read ahead, then from where the bytes come from now.
func (l *Line) Read(p []byte) (int, error) {
	if len(l.ahead) > 0 {
		n := copy(p, l.ahead)
		if l.ahead = l.ahead[n:]; len(l.ahead) == 0 {
			l.ahead = nil
		}
		return n, nil
	}
	if l.over != nil {
		return l.over.Read(p)
	}
	return l.Conn.Read(p)
}

// Write writes to where the bytes go now.
func (l *Line) Write(p []byte) (int, error) {
	if l.over != nil {
		return l.over.Write(p)
	}
	return l.Conn.Write(p)
}

// SetDeadline is that of Conn, until Divert.
func (l *Line) SetDeadline(t time.Time) error { return l.unlessDiverted(l.Conn.SetDeadline, t) }

// SetReadDeadline is that of Conn, until Divert.
func (l *Line) SetReadDeadline(t time.Time) error {
	return l.unlessDiverted(l.Conn.SetReadDeadline, t)
}

// SetWriteDeadline is that of Conn, until Divert.
func (l *Line) SetWriteDeadline(t time.Time) error {
	return l.unlessDiverted(l.Conn.SetWriteDeadline, t)
}

func (l *Line) unlessDiverted(set func(time.Time) error, t time.Time) error {
	if l.over != nil {
		return nil
	}
	return set(t)
}
