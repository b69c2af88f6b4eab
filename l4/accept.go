package l4

import (
	"errors"
	"net"

	"sluice/pkg/listen"
)

// serveGuests accepts connections, does the handshakes that are due in a
// goroutine for each, and hands them over to the loops.
func (s *Server) serveGuests() error {
	for {
		c, err := s.ln.AcceptConn()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go s.receive(c)
	}
}

func (s *Server) receive(c *listen.Conn) {
	setUserTimeout(c.TCPConn, s.cfg.UserTimeout)
	g, err := c.Handshake(s.closing)
	if err != nil {
		return
	}
	l := s.cfg.Loops.Least()
	if !l.Post(func() {
		x := s.newSession(l.AdoptConn(g.Conn), g.Client)
		x.local = &g.Local
		if g.TLS == nil {
			x.welcome(false, g.Read)
		} else if svc := s.routes.find(g.TLS.ServerName); svc != nil {
			x.lead(svc, nil)
		} else {
			x.refuse(listen.NoRoute, errNoName)
		}
	}) {
		g.Conn.Close()
	}
}
