package l4

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"sluice/pkg/clienthello"
	"sluice/pkg/listen"
	"sluice/pkg/proxyproto"
	"sluice/pkg/reactor"
)

// welcome begins a session; it runs in the loop that the session will live in.
func (s *Server) welcome(a listen.Arrival) {
	x := s.newSession(&a)
	svc := s.routes.other
	switch {
	case a.TLS != nil:
		svc = s.routes.find(a.TLS.ServerName)
	case s.routes.byName():
		x.preface = &preface{}
		if len(a.Read) == 0 {
			x.l.After(&x.timer, s.helloWait(false), x)
		} else {
			x.understand(a.Read)
		}
		x.readPreface()
		return
	}
	if svc == nil {
		x.refuse(listen.NoRoute, errNoName)
		return
	}
	x.lead(svc, a.Read)
}

// preface is what must come from a client before its session can be led to a
// service: a ClientHello.
type preface struct {
	read []byte // what has come and is not understood yet
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
		case len(x.preface.read) == 0:
			x.end(ClientEOF, nil) // as balancers do that look whether somebody listens
		case errors.Is(err, io.EOF):
			x.refuse(listen.TLSHandshake, io.ErrUnexpectedEOF)
		default:
			x.refuse(listen.TLSHandshake, err)
		}
	}
}

// prefaceExpired goes on with a session whose ClientHello has not come in time.
func (x *session) prefaceExpired() {
	if svc := x.s.routes.other; len(x.preface.read) == 0 && svc != nil {
		x.preface = nil
		x.lead(svc, nil)
		return
	}
	x.refuse(listen.TLSHandshake, os.ErrDeadlineExceeded)
}

// understand goes on as far as what has come allows: b, after what was kept.
func (x *session) understand(b []byte) {
	p := x.preface
	if p.read != nil {
		p.read = append(p.read, b...)
		b = p.read
	}
	svc, err := x.s.routes.lookInto(b)
	switch {
	case errors.Is(err, clienthello.ErrShort):
		if p.read == nil {
			p.read = slices.Clone(b)
			x.l.After(&x.timer, x.s.helloWait(true), x)
		}
	case errors.Is(err, errNoName):
		x.refuse(listen.NoRoute, err)
	case err != nil:
		x.refuse(listen.TLSHandshake, err)
	default:
		x.preface = nil
		x.lead(svc, b)
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
	s, ok := x.client.(*reactor.Socket)
	if !ok {
		return netip.AddrPort{}
	}
	return s.LocalAddr()
}

// awaitHello reads the ClientHello of a connection of the copy driver, of
// which read has come already, and returns the service that it asks for and
// all that has come.
func (s *Server) awaitHello(c *listen.Conn, read []byte) (*service, []byte, error) {
	_ = c.SetReadDeadline(time.Now().Add(s.helloWait(len(read) > 0)))
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
		if err == nil && len(read) == 0 {
			_ = c.SetReadDeadline(time.Now().Add(s.helloWait(true)))
		}
		read = append(read, buf[:n]...)
		switch {
		case err == nil:
		case len(read) > 0 && errors.Is(err, io.EOF):
			return nil, nil, io.ErrUnexpectedEOF
		case len(read) > 0:
			return nil, nil, err
		case errors.Is(err, os.ErrDeadlineExceeded) && s.routes.other != nil:
			return s.routes.other, nil, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil, err
		default:
			return nil, nil, io.EOF // without a word, however it left
		}
	}
}

// proxyHeader returns the header for a backend of svc, if it wants one.
func (svc *service) proxyHeader(b []byte, client, local netip.AddrPort) []byte {
	version := int(svc.proxyOut.Load())
	if version == 0 {
		return b
	}
	return proxyproto.Append(b, version, proxyproto.Proxy, client, local)
}
