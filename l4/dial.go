package l4

import (
	"context"
	"net"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// dial picks a backend and connects to it, trying others while attempts fail,
// the deadline allows and there are any left. On success the caller owns the
// connection and the backend's slot; otherwise the backend is nil and the
// reason says why.
func (s *Server) dial(rec *record) (*net.TCPConn, *backend.Backend, Reason) {
	ctx, cancel := context.WithTimeout(s.closing, s.cfg.ConnectDeadline)
	defer cancel()
	var tried balance.Tried
	for {
		b := s.cfg.Balancer.Pick(tried)
		if b == nil {
			break
		}
		start := time.Now()
		conn, err := s.attempt(ctx, b)
		rec.connect = time.Since(start)
		if err == nil {
			s.metrics.connectSeconds.Update(rec.connect.Seconds())
			return conn, b, 0
		}
		b.Release()
		if s.closing.Err() != nil {
			return nil, nil, Draining
		}
		b.ReportConnectFailure()
		s.metrics.connectFailures.Inc()
		rec.err, rec.failed = err, b
		tried.Add(b)
		if tried.Len() == balance.MaxTries || ctx.Err() != nil {
			break
		}
		s.metrics.retries.Inc()
	}
	if tried.Len() == 0 {
		return nil, nil, NoBackend
	}
	return nil, nil, DialFailed
}

// attempt makes one connection to b.
func (s *Server) attempt(ctx context.Context, b *backend.Backend) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	c, err := s.dialer.DialContext(ctx, "tcp", b.Addr())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
