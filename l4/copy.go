package l4

import (
	"errors"
	"net"
	"time"

	"sluice/pkg/listen"
	"sluice/pkg/relay"
)

// The copy driver: a goroutine for each connection walks it from accept to
// record, and pkg/relay moves the bytes. It runs everywhere and is the plain
// reference that the epoll driver is held against.

func (s *Server) serveCopy() error {
	for {
		c, err := s.ln.AcceptConn()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go s.handle(c)
	}
}

// handle walks one connection from accept to record.
func (s *Server) handle(client *listen.Conn) {
	defer client.Close()
	rec := record{client: client.Client(), start: time.Now()}
	s.metrics.active.Inc()
	defer s.metrics.active.Dec()
	defer s.record(&rec)

	server, b, reason := s.dial(&rec)
	if b == nil {
		rec.reason = reason
		// Nothing was exchanged; the client learns of the failure by a reset
		// rather than by an answer that ends before it began.
		_ = client.SetLinger(0)
		return
	}
	defer b.Release()
	defer server.Close()
	rec.backend = b
	b.Counters.Connections.Add(1)

	res := relay.Copy(client.TCPConn, server, relay.Config{
		Idle: s.cfg.IdleTimeout,
		FIN:  s.cfg.FINTimeout,
		Progress: func(in, out int64) {
			b.Counters.BytesIn.Add(uint64(in))
			b.Counters.BytesOut.Add(uint64(out))
			s.metrics.bytesIn.AddInt64(in)
			s.metrics.bytesOut.AddInt64(out)
		},
	})
	rec.in, rec.out, rec.reason = res.In, res.Out, reasonOf(res.End)
}
