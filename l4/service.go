package l4

import (
	"cmp"
	"crypto/tls"
	"net"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/attempt"
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
	// is the host of the backend's address.
	TLS *tls.Config
	// DrainTimeout is how long connections to a backend may go on after it was
	// taken out of its service, or into maintenance. Then they are closed,
	// spread over a tenth of that time. 0 means 5 minutes, negative for ever.
	DrainTimeout time.Duration
	// CloseOnUnhealthy closes the connections to a backend at once when its
	// checks have failed, or it is withdrawn (backend.Snapshot).
	CloseOnUnhealthy bool
}

func (c Service) withDefaults(cfg *Config) Service {
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, cfg.ConnectTimeout)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, cfg.IdleTimeout)
	c.FINTimeout = cmp.Or(c.FINTimeout, cfg.FINTimeout)
	c.QueueTimeout = cmp.Or(c.QueueTimeout, 5*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 5*time.Minute)
	if c.RetryBudget == nil {
		c.RetryBudget = limit.NewBudget(0.2, 10, time.Now())
	}
	return c
}

// Upstream is a Service at work.
type Upstream struct {
	// Service is what New was given, with defaults in place of zeros.
	Service
	name     string
	terms    attempt.Terms
	metrics  *serviceMetrics
	unfollow func() // ends what Gate.Follow began
}

// Name returns the name of the service.
func (u *Upstream) Name() string { return u.name }

func newUpstream(s Service, cfg *Config) *Upstream {
	u := &Upstream{Service: s.withDefaults(cfg), unfollow: func() {}}
	u.name = u.Balancer.Pool().Service()
	u.metrics = newServiceMetrics(cmp.Or(u.Metrics, cfg.Metrics), u.name)
	retries := u.Retries
	if retries == 0 || retries >= balance.MaxTries {
		retries = balance.MaxTries - 1
	}
	u.terms = attempt.Terms{
		Balancer: u.Balancer, Budget: u.RetryBudget, Retries: max(retries, 0), Lenient: u.Retries == 0,
		HedgeAfter: cfg.HedgeAfter, QueueTimeout: u.QueueTimeout,
		Counters: attempt.Counters{
			Failures: u.metrics.connectFailures, Retries: u.metrics.retries,
			Hedges: u.metrics.hedges, Denied: u.metrics.retriesDenied,
		},
	}
	return u
}

// TLSFor returns the configuration of TLS with b; Service.TLS is not nil. What
// the client has agreed on with us, if anything, is all that is offered to b.
func (u *Upstream) TLSFor(b *backend.Backend, client *tls.ConnectionState) *tls.Config {
	alpn := ""
	if client != nil {
		alpn = client.NegotiatedProtocol
	}
	if u.TLS.ServerName != "" && alpn == "" {
		return u.TLS
	}
	c := u.TLS.Clone()
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(b.Addr())
	}
	if alpn != "" {
		c.NextProtos = []string{alpn}
	}
	return c
}
