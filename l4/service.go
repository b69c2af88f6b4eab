package l4

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
)

// Service says how connections are led to the backends of one service.
type Service struct {
	// Balancer picks the backends; its pool's name is the service's.
	Balancer *balance.Balancer
	// RetryBudget is asked before a connection tries a second or third
	// backend. nil means a budget of a fifth, and at least 10 a second.
	RetryBudget *limit.Budget
	// QueueTimeout is how long a connection may wait for a backend with a slot
	// free, see backend.Pool.Limit. 0 means 5 s.
	QueueTimeout time.Duration
	// ConnectTimeout, IdleTimeout and FINTimeout take the place of the
	// listener's. 0 means that; negative means never to the latter two.
	ConnectTimeout, IdleTimeout, FINTimeout time.Duration
	// Retries is how many other backends may be tried after the first one, or
	// beside it. 0 means balance.MaxTries less the first, not counting those that
	// refuse at once while there is hope; negative none.
	Retries int
	// ProxyOut is the version of the PROXY header, 1 or 2, that tells backends
	// who the client is; 0 for none.
	ProxyOut int
	// Metrics takes the service's counters, the same ones for all listeners of
	// the service. nil means Config's.
	Metrics *metrics.Set
	// TLS, if not nil, is spoken with backends. If it has no ServerName, that
	// is the host of the backend's address. It needs Loops.
	TLS *tls.Config
	// DrainTimeout is how long connections to a backend may go on after it was
	// taken out of its service, or into maintenance. Then they are closed,
	// spread over a tenth of that time. 0 means 5 minutes, negative for ever.
	DrainTimeout time.Duration
	// CloseOnUnhealthy closes the connections to a backend at once when its
	// checks have failed, or it is withdrawn (backend.Snapshot).
	CloseOnUnhealthy bool

	lenient bool // a refusal does not count as a try; see Retries
}

func (c Service) withDefaults(cfg *Config) Service {
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, cfg.ConnectTimeout)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, cfg.IdleTimeout)
	c.FINTimeout = cmp.Or(c.FINTimeout, cfg.FINTimeout)
	c.lenient = c.Retries == 0
	if c.Retries == 0 || c.Retries >= balance.MaxTries {
		c.Retries = balance.MaxTries - 1
	}
	c.Retries = max(c.Retries, 0)
	if c.RetryBudget == nil {
		c.RetryBudget = limit.NewBudget(0.2, 10, time.Now())
	}
	if c.QueueTimeout == 0 {
		c.QueueTimeout = 5 * time.Second
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 5 * time.Minute
	}
	return c
}

// service is a Service at work.
type service struct {
	Service
	name     string
	metrics  *serviceMetrics
	proxyOut atomic.Int32 // in place of Service.ProxyOut, which it begins as
	unfollow func()       // ends what Server.follow began
}

func (s *service) pool() *backend.Pool { return s.Balancer.Pool() }

// pick chooses a backend that the connection has not tried and takes its slot,
// or returns nil if there is none, if enough were tried, or if the retry
// budget is spent. rec.tries.full then says whether one would do that has no slot
// free.
func (s *service) pick(rec *record) *backend.Backend {
	t := rec.tries
	t.full = false
	retry := t.tried.Len() > 0
	req := balance.Request{Tried: t.tried, Key: balance.HashAddr(rec.client.Addr()), HasKey: true, Failed: t.failures >= t.tried.Len()}
	switch {
	case !retry && t.waiter == nil && s.pool().Contended(): // others came first
		t.full = true
		return nil
	case t.tried.Tries() > s.Retries:
		return nil
	case retry && !t.refused && !s.Balancer.HasGood(req) && !s.RetryBudget.Retry(time.Now()):
		s.metrics.retriesDenied.Inc()
		return nil
	}
	b := s.Balancer.Pick(req)
	if b == nil {
		t.full = s.Balancer.HasUntried(t.tried)
		return nil
	}
	if retry {
		s.metrics.retries.Inc()
	} else {
		s.RetryBudget.Attempt()
	}
	t.tried.Add(b)
	t.refused = false
	if t.waiter != nil {
		s.pool().Leave(t.waiter)
	}
	return b
}

// lost tells b's balancer of an attempt that was given up after a while. It
// is to blame only if it was the one that others were tried beside.
func (s *service) lost(b *backend.Backend, after, hedge time.Duration) {
	if after >= hedge {
		b.Observe(after, false)
	}
}

// dialFailed notes that an attempt to connect to b failed after rec.connect. If
// paused, sluice did not run for a while meanwhile, so that a time-out says
// nothing about b.
func (s *service) dialFailed(rec *record, b *backend.Backend, err error, paused bool) {
	s.metrics.connectFailures.Inc()
	t := rec.tries
	t.err, t.failed = err, b
	t.failures++ // whoever's fault: the client is to be served
	if s.lenient && backend.Refused(err, rec.connect) && s.Balancer.HasHope(t.tried) {
		t.refused = true
		t.tried.Refuse()
	}
	if !backend.OwnFault(err) && !(paused && timedOut(err)) {
		b.ReportConnectFailure()
	}
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// connected notes that a connection to b stands.
func (s *service) connected(rec *record, b *backend.Backend) {
	rec.backend = b
	s.metrics.connectSeconds.Update(rec.connect.Seconds())
	b.Observe(rec.connect, true)
	b.Counters.Connections.Add(1)
}

// tlsFor returns the configuration of TLS with b; s.TLS is not nil. What the
// client has agreed on, if anything, is offered to b.
func (s *service) tlsFor(b *backend.Backend, alpn string) *tls.Config {
	if s.TLS.ServerName != "" && alpn == "" {
		return s.TLS
	}
	c := s.TLS.Clone()
	if c.ServerName == "" {
		c.ServerName = hostOf(b.Addr())
	}
	if alpn != "" {
		c.NextProtos = []string{alpn}
	}
	return c
}

// count adds bytes moved to the counters.
func (s *service) count(b *backend.Backend, in, out int64) {
	if in > 0 {
		b.Counters.BytesIn.Add(uint64(in))
		s.metrics.bytesIn.AddInt64(in)
	}
	if out > 0 {
		b.Counters.BytesOut.Add(uint64(out))
		s.metrics.bytesOut.AddInt64(out)
	}
}
