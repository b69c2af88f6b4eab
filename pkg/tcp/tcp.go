// Package tcp does to a TCP connection what net.Conn cannot say, be it wrapped
// in TLS or in anything else that has a NetConn: end one direction, break it,
// ask the kernel whether the peer has broken it, set its user timeout. What a
// system has no word for is not done there, and not known.
package tcp

import "net"

// Innermost returns what c wraps in the end.
func Innermost(c net.Conn) net.Conn {
	for {
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		inner := w.NetConn()
		if inner == nil {
			return c
		}
		c = inner
	}
}

// CloseWrite ends our direction of c, and of what it wraps: TLS says goodbye
// first.
func CloseWrite(c net.Conn) error {
	var err error
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		err = w.CloseWrite()
	}
	if w, ok := c.(interface{ NetConn() net.Conn }); ok && err == nil {
		err = CloseWrite(w.NetConn())
	}
	return err
}

// Break makes a Close of what c wraps in the end send RST, so that the peer does
// not take what it got for all. Close that, not c, which would say goodbye first.
func Break(c net.Conn) net.Conn {
	c = Innermost(c)
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	return c
}
