package gate

import (
	"crypto/tls"
	"net"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/limit"
)

// Service is what the requests of a listener for one balancer share.
type Service struct {
	name     string
	mark     string // see mark.go
	balancer *balance.Balancer
	budget   *limit.Budget
	policy   *Policy // or nil
	plain    *rules  // without a policy
	metrics  *serviceMetrics
	left     func() // tells the driver that no route leads here any more
}

// serviceOf returns the service of a route, one for all routes with the same
// balancer; g.mu is held.
func (g *Gate) serviceOf(r *Route) *Service {
	for _, svc := range g.services {
		if svc.balancer == r.Balancer {
			return svc
		}
	}
	name, set := r.Balancer.Pool().Service(), g.cfg.Metrics
	if r.Policy != nil {
		set = r.Policy.metrics
	}
	svc := &Service{name: name, mark: loopMark(g.cfg.Instance, name), balancer: r.Balancer, budget: r.RetryBudget, policy: r.Policy, plain: plainRules(), metrics: newServiceMetrics(set, name)}
	if svc.budget == nil {
		svc.budget = limit.NewBudget(0.2, 10, time.Now())
	}
	g.services = append(g.services, svc)
	return svc
}

// Name returns the service's name.
func (svc *Service) Name() string { return svc.name }

// Pool returns the service's backends.
func (svc *Service) Pool() *backend.Pool { return svc.balancer.Pool() }

// Reuse returns which requests may use connections to backends that are idle.
func (svc *Service) Reuse() Reuse { return svc.rules().reuse }

// KeepIdle returns for how long those are kept; negative: not at all.
func (svc *Service) KeepIdle() time.Duration { return svc.rules().keep }

// TLSFor returns how TLS is spoken with a backend, to agree on one of protocols.
func (svc *Service) TLSFor(b *backend.Backend, protocols ...string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if own := svc.rules().tls; own != nil {
		cfg = own.Clone()
	}
	t := b.Target()
	if cfg.InsecureSkipVerify = cfg.InsecureSkipVerify || t.SkipVerify; t.ServerName != "" {
		cfg.ServerName = t.ServerName
	}
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(b.Addr())
	}
	cfg.NextProtos = protocols
	return cfg
}

// rules returns what is said about the requests that come now.
func (svc *Service) rules() *rules {
	if svc.policy == nil {
		return svc.plain
	}
	return svc.policy.current.Load()
}

// Fronts returns the drivers whose listeners lead to the service, or nil if it
// has no Policy by which they could know each other.
func (svc *Service) Fronts() *Fronts {
	if svc.policy == nil {
		return nil
	}
	return &svc.policy.fronts
}

// Departures says what becomes of what stays on a backend that leaves, or fails:
// upgraded connections, responses that go on, as server-sent events do, and
// connections that are bound. Requests that wait for a response end by
// themselves. end ends what stays on the backend at an address, by a reason, in
// steps over some time.
func (svc *Service) Departures(end func(addr string, why Reason, over time.Duration)) backend.Departures {
	d := backend.Departures{End: func(addr string, why backend.Departure, over time.Duration) {
		reason := BackendDrained
		if why == backend.Failed {
			reason = BackendUnhealthy
		}
		end(addr, reason, over)
	}}
	if svc.policy != nil {
		d.Terms = func() backend.Terms { return svc.rules().terms }
	}
	return d
}
