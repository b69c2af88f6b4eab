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

// pick chooses a backend that the connection has not tried and takes its slot,
// or returns nil if there is none, if enough were tried, or if the retry
// budget is spent.
func (s *Server) pick(rec *record) *backend.Backend {
	first := rec.tried.Len() == 0
	switch {
	case first:
		s.cfg.RetryBudget.Attempt()
	case rec.tried.Len() == balance.MaxTries:
		return nil
	case !s.cfg.RetryBudget.Retry(time.Now()):
		s.metrics.retriesDenied.Inc()
		return nil
	}
	b := s.cfg.Balancer.Pick(balance.Request{Tried: rec.tried, Key: balance.HashAddr(rec.client.Addr()), HasKey: true})
	if b == nil {
		return nil
	}
	if !first {
		s.metrics.retries.Inc()
	}
	rec.tried.Add(b)
	return b
}

// unserved returns why a connection found no backend.
func (rec *record) unserved() Reason {
	if rec.tried.Len() == 0 {
		return NoBackend
	}
	return DialFailed
}

// dialed is the outcome of an attempt of the copy driver.
type dialed struct {
	b    *backend.Backend
	conn *net.TCPConn
	took time.Duration
	err  error
}

// dial connects to a backend: to another one while attempts fail, and to a
// second one beside the first if that does not answer in time. On success the
// caller owns the connection and the backend's slot; otherwise the backend is
// nil and the reason says why.
func (s *Server) dial(rec *record) (*net.TCPConn, *backend.Backend, Reason) {
	ctx, cancel := context.WithTimeout(s.closing, s.cfg.ConnectDeadline)
	defer cancel() // ends the attempts that lost
	outcomes := make(chan dialed, balance.MaxTries)
	running := 0
	begin := func() bool {
		b := s.pick(rec)
		if b == nil {
			return false
		}
		running++
		go func() {
			start := time.Now()
			conn, err := s.attempt(ctx, b)
			outcomes <- dialed{b, conn, time.Since(start), err}
		}()
		return true
	}
	if !begin() {
		return nil, nil, rec.unserved()
	}
	hedge := time.NewTimer(s.cfg.HedgeAfter)
	defer hedge.Stop()
	for running > 0 {
		select {
		case o := <-outcomes:
			running--
			rec.connect = o.took
			if o.err == nil {
				if running > 0 {
					go s.abandon(outcomes, running)
				}
				s.metrics.connectSeconds.Update(o.took.Seconds())
				o.b.Observe(o.took, true)
				return o.conn, o.b, 0
			}
			o.b.Release()
			if s.closing.Err() != nil {
				if running > 0 {
					go s.abandon(outcomes, running)
				}
				return nil, nil, Draining
			}
			s.dialFailed(rec, o.b, o.err)
			if running == 0 && ctx.Err() == nil && begin() {
				hedge.Reset(s.cfg.HedgeAfter)
			}
		case <-hedge.C:
			if s.cfg.HedgeAfter > 0 && running == 1 && begin() {
				s.metrics.hedges.Inc()
			}
		}
	}
	return nil, nil, rec.unserved()
}

// abandon gives back what n attempts that lost still hold. Their backends were
// slow to answer, which is for health to look into.
func (s *Server) abandon(outcomes <-chan dialed, n int) {
	for range n {
		o := <-outcomes
		o.b.Release()
		o.b.Suspect()
		s.lost(o.b, o.took)
		if o.conn != nil {
			o.conn.Close()
		}
	}
}

// lost tells b's balancer of an attempt that was given up after a while. It
// is to blame only if it was the one that others were tried beside.
func (s *Server) lost(b *backend.Backend, after time.Duration) {
	if after >= s.cfg.HedgeAfter {
		b.Observe(after, false)
	}
}

// dialFailed notes that an attempt to connect to b failed.
func (s *Server) dialFailed(rec *record, b *backend.Backend, err error) {
	s.metrics.connectFailures.Inc()
	rec.err, rec.failed = err, b
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
