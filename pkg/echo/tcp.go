package echo

import (
	"io"
	"net"
)

// handleConn finds out what c is and serves it.
func (s *Server) handleConn(c *net.TCPConn) {
	defer s.wg.Done()
	defer s.forget(c)
	if s.cfg.Mode == TCP {
		s.echo(c, nil)
		return
	}
	first, v := sniff(c)
	if v == isTCP {
		s.echo(c, first)
		return
	}
	p := &peeked{Conn: c}
	p.first.Reset(first)
	s.sniffed.hand(p)
}

// echo sends back first, or if that is nil what c brings first, and then the
// rest until its end; it closes its own half then, and closes c. A connection
// that is to fail is reset when its first bytes have come, so that whoever
// connects sees the connection established.
func (s *Server) echo(c *net.TCPConn, first []byte) {
	defer c.Close()
	failing := s.failing()
	if first == nil && (failing || s.cfg.Latency > 0) {
		first = make([]byte, 4096)
		n, err := c.Read(first)
		if err != nil {
			return
		}
		first = first[:n]
	}
	if failing {
		_ = c.SetLinger(0) // makes Close a reset
		return
	}
	if !sleep(s.closing, s.cfg.Latency) {
		return
	}
	if _, err := c.Write(first); err != nil {
		return
	}
	if _, err := io.Copy(c, c); err != nil {
		return
	}
	_ = c.CloseWrite() // Close follows; there is nobody to tell
}
