package engine

import (
	"sluice/engine/desired"
	"sluice/l4"
	"sluice/pkg/config"
)

// l4Config says how the connections of a TCP listener are led to services, one
// for each of its parts.
func (fs *fronts) l4Config(want desired.Listener, to []*service) (l4.Config, error) {
	var routes []l4.Route
	for i, p := range want.Parts {
		s := to[i]
		tlsConfig, err := backendTLS(config.Service{Name: s.name, TLS: p.Speak.TLS, TLSCA: p.Speak.TLSCA, TLSServerName: p.Speak.TLSServerName})
		if err != nil {
			return l4.Config{}, err
		}
		waits, tcp := p.Speak.Waits.Over(p.L4.Waits), p.Speak.TCPWaits.Over(p.L4.TCPWaits)
		routes = append(routes, l4.Route{Name: p.SNI, Service: l4.Service{
			ConnectTimeout:   ownWait(waits.ConnectTimeout),
			IdleTimeout:      ownWait(tcp.IdleTimeout),
			FINTimeout:       ownWait(tcp.FINTimeout),
			Retries:          ownRetries(waits.Retries),
			Balancer:         s.balancer,
			Metrics:          s.metrics.Set,
			RetryBudget:      s.budget,
			QueueTimeout:     p.Speak.QueueTimeout,
			ProxyOut:         p.Speak.ProxyOut,
			TLS:              tlsConfig,
			DrainTimeout:     orNever(p.Speak.DrainTimeout),
			CloseOnUnhealthy: p.Speak.CloseOnUnhealthy,
		}})
	}
	c := want.TCPCommon
	return l4.Config{
		Routes:          routes,
		ConnectTimeout:  c.ConnectTimeout,
		ConnectDeadline: c.ConnectDeadline,
		HedgeAfter:      orNever(c.HedgeAfter),
		IdleTimeout:     orNever(c.IdleTimeout),
		FINTimeout:      orNever(c.FINTimeout),
		UserTimeout:     c.UserTimeout,
		HelloWait:       config.Merged(want.L4()).SNIWait,
		Pauses:          fs.pauses,
		AccessLog:       fs.records.access,
		Logger:          fs.logger,
		Metrics:         fs.sets.Main,
	}, nil
}
