package l4

import (
	"context"
	"errors"
	"net"
	"syscall"
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
		s.dialFailed(rec, &tried, b, err)
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

// dialFailed notes that an attempt to connect to b failed.
func (s *Server) dialFailed(rec *record, tried *balance.Tried, b *backend.Backend, err error) {
	s.metrics.connectFailures.Inc()
	rec.err, rec.failed = err, b
	tried.Add(b)
	if !ownFault(err) {
		b.ReportConnectFailure()
	}
}

// ownFault reports whether err is this machine's: it has run out of ports,
// descriptors or memory, which no backend is to be blamed for.
func ownFault(err error) bool {
	for _, e := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
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
