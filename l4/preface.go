package l4

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"sluice/pkg/clienthello"
	"sluice/pkg/listen"
	"sluice/pkg/proxyproto"
	"sluice/pkg/reactor"
)

// preface is what must come from a client before its session can be led to a
// service: a PROXY header, a ClientHello.
type preface struct {
	read   []byte // what has come and is not understood yet
	header bool   // a PROXY header is still due
}

// welcome begins a session whose client has sent read already. Its place, if
// it has one, and its client are set.
func (x *session) welcome(header bool, read []byte) {
	if !header && !x.s.routes.byName() {
		x.lead(x.s.routes.other, read)
		return
	}
	x.preface = &preface{header: header}
	x.l.After(&x.timer, x.s.ln.HandshakeTimeout(), x)
	if len(read) > 0 {
		x.understand(read)
	}
	x.readPreface()
}

// readPreface reads more of the client's first bytes.
func (x *session) readPreface() {
	for x.preface != nil && !x.ended && x.client.Readable() {
		buf := x.l.Scratch()
		n, err := x.client.Read(buf)
		switch {
		case err == nil:
			x.understand(buf[:n])
		case errors.Is(err, reactor.ErrAgain):
			return
		case errors.Is(err, io.EOF) && len(x.preface.read) == 0:
			x.end(ClientEOF, nil) // as balancers do that look whether somebody listens
		case errors.Is(err, io.EOF):
			x.refuse(x.preface.rejection(), io.ErrUnexpectedEOF)
		default:
			x.end(ClientReset, nil)
		}
	}
}

// rejection says what it is a connection is closed for that does not get on.
func (p *preface) rejection() listen.Rejection {
	if p.header {
		return listen.ProxyHeader
	}
	return listen.TLSHandshake
}

// understand goes on as far as what has come allows: b, after what was kept.
func (x *session) understand(b []byte) {
	p := x.preface
	if p.read != nil {
		p.read = append(p.read, b...)
		b = p.read
	}
	if p.header {
		h, n, err := x.s.ln.ParseHeader(b)
		if errors.Is(err, proxyproto.ErrShort) {
			p.keep(b)
			return
		}
		if err != nil {
			x.refuse(listen.ProxyHeader, err)
			return
		}
		b, p.read, p.header = b[n:], nil, false
		if h.Command == proxyproto.Proxy && h.Source.IsValid() {
			x.rec.client, x.local = h.Source, &h.Destination
		}
		if !x.s.ln.AdmitClient(&x.place, x.rec.client.Addr()) {
			x.end(Limit, nil)
			return
		}
	}
	svc := x.s.routes.other
	if x.s.routes.byName() {
		var err error
		svc, err = x.s.routes.lookInto(b)
		switch {
		case errors.Is(err, clienthello.ErrShort):
			p.keep(b)
			return
		case errors.Is(err, errNoName):
			x.refuse(listen.NoRoute, err)
			return
		case err != nil:
			x.refuse(listen.TLSHandshake, err)
			return
		}
	}
	x.preface = nil
	x.lead(svc, b)
}

// keep keeps b, of which more must come before it can be understood.
func (p *preface) keep(b []byte) {
	if p.read == nil {
		p.read = slices.Clone(b)
	}
}

// refuse ends a session that is not led anywhere.
func (x *session) refuse(r listen.Rejection, err error) {
	x.s.ln.Reject(r, x.rec.client.Addr(), err)
	x.end(Limit, nil) // which is counted by the listener
}

// localAddr returns what the client connected to.
func (x *session) localAddr() netip.AddrPort {
	if x.local != nil {
		return *x.local
	}
	if s, ok := x.client.(*reactor.Socket); ok {
		return s.LocalAddr()
	}
	return netip.AddrPort{}
}

// awaitHello reads the ClientHello of a connection of the copy driver, of
// which read has come already, and returns the service that it asks for and
// all that has come.
func (s *Server) awaitHello(c *listen.Conn, read []byte) (*service, []byte, error) {
	_ = c.SetReadDeadline(time.Now().Add(s.ln.HandshakeTimeout()))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	buf := make([]byte, 4<<10)
	for {
		if len(read) > 0 {
			svc, err := s.routes.lookInto(read)
			if err == nil {
				return svc, read, nil
			}
			if !errors.Is(err, clienthello.ErrShort) {
				return nil, nil, err
			}
		}
		n, err := c.Read(buf)
		read = append(read, buf[:n]...)
		if err != nil {
			if len(read) > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, nil, err
		}
	}
}

// proxyHeader returns the header for a backend of svc, if it wants one.
func (svc *service) proxyHeader(b []byte, client, local netip.AddrPort) []byte {
	if svc.ProxyOut == 0 {
		return b
	}
	return proxyproto.Append(b, svc.ProxyOut, proxyproto.Proxy, client, local)
}

// addrPortOf returns an address of a net.Conn.
func addrPortOf(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return unmapped(t.AddrPort())
}
