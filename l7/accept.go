package l7

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"sluice/pkg/listen"
	"sluice/pkg/reactor"
)

// acceptConns serves the connections that are more than sockets, as those that
// speak TLS: each is shaken hands with in a goroutine, and then handed to the
// loops in turn as a stream.
func (s *Server) acceptConns() error {
	var turn atomic.Uint32
	for {
		c, err := s.ln.AcceptConn()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot serve on %q: %w", s.ln.Addr(), err)
		}
		go func() {
			g, err := c.Handshake(s.closing)
			if err != nil {
				return // it was closed, counted and logged
			}
			s.welcome(s.shards[int(turn.Add(1))%len(s.shards)].l, g)
		}()
	}
}

// welcome hands a connection that is ready to be served to l. Its place is
// given back when it is closed.
func (s *Server) welcome(l *reactor.Loop, g *listen.Guest) {
	if !l.Post(func() { s.start(l, l.AdoptConn(g.Conn), nil, g.Client, g.Local, g.TLS, g.Read) }) {
		g.Conn.Close()
	}
}
