package l4

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/listen"
)

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
func (s *Server) dial(svc *service, rec *record, client *listen.Conn) (*net.TCPConn, *backend.Backend, Reason) {
	defer func() {
		if w := rec.tries.waiter; w != nil {
			svc.pool().Leave(w)
		}
	}()
	for {
		c, b, reason := s.dialOnce(svc, rec)
		if b != nil || reason == Draining || !rec.tries.full || !svc.await(rec, client, s.closing.Done()) {
			return c, b, reason
		}
	}
}

// dialOnce is dial without waiting for a slot.
func (s *Server) dialOnce(svc *service, rec *record) (*net.TCPConn, *backend.Backend, Reason) {
	ctx, cancel := context.WithTimeout(s.closing, s.cfg.ConnectDeadline)
	defer cancel() // ends the attempts that lost
	outcomes := make(chan dialed, balance.MaxTries)
	running := 0
	begin := func() bool {
		b := svc.pick(rec)
		if b == nil {
			return false
		}
		running++
		go func() {
			start := time.Now()
			conn, err := s.attempt(ctx, svc, b)
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
					go s.abandon(svc, outcomes, running)
				}
				svc.connected(rec, o.b)
				return o.conn, o.b, 0
			}
			o.b.Release()
			if s.closing.Err() != nil {
				if running > 0 {
					go s.abandon(svc, outcomes, running)
				}
				return nil, nil, Draining
			}
			svc.dialFailed(rec, o.b, o.err, s.cfg.Pauses.Since(time.Now().Add(-o.took)) > 0)
			if running == 0 && ctx.Err() == nil && begin() {
				hedge.Reset(s.cfg.HedgeAfter)
			}
		case <-hedge.C:
			if s.cfg.HedgeAfter > 0 && running == 1 && begin() {
				svc.metrics.hedges.Inc()
			}
		}
	}
	return nil, nil, rec.unserved()
}

// abandon gives back what n attempts that lost still hold. Their backends were
// slow to answer, which is for health to look into.
func (s *Server) abandon(svc *service, outcomes <-chan dialed, n int) {
	for range n {
		o := <-outcomes
		o.b.Release()
		o.b.Suspect()
		svc.lost(o.b, o.took, s.cfg.HedgeAfter)
		if o.conn != nil {
			o.conn.Close()
		}
	}
}

// attempt makes one connection to b, at the first of its addresses that answers.
func (s *Server) attempt(ctx context.Context, svc *service, b *backend.Backend) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, svc.ConnectTimeout)
	defer cancel()
	addrs, err := b.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	c, addr, err := backend.Race(ctx, addrs, func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		return s.dialer.DialContext(ctx, "tcp", addr.String())
	}, func(c net.Conn) { c.Close() })
	if err != nil {
		b.Unreached()
		return nil, err
	}
	b.Reached(addr)
	tc := c.(*net.TCPConn)
	setUserTimeout(tc, s.cfg.UserTimeout)
	return tc, nil
}

// dialTLS makes one connection to b, sends header and shakes hands, with alpn
// as the only protocol on offer if it is not empty.
func (s *Server) dialTLS(ctx context.Context, svc *service, b *backend.Backend, alpn string, header []byte) (net.Conn, error) {
	c, err := s.attempt(ctx, svc, b)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok && len(header) > 0 {
		_ = c.SetWriteDeadline(deadline)
		_, err = c.Write(header)
		_ = c.SetWriteDeadline(time.Time{})
	}
	tc := tls.Client(c, svc.tlsFor(b, alpn))
	if err == nil {
		err = tc.HandshakeContext(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("cannot speak TLS with the backend: %w", err)
	}
	return tc, nil
}

func hostOf(addr string) string { host, _, _ := net.SplitHostPort(addr); return host }
