package engine

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/engine/desired"
	"sluice/l7"
	"sluice/pkg/backend"
	"sluice/pkg/config"
	"sluice/pkg/limit"
)

// policyConfig says how the requests for a service are kept together and
// bounded.
func policyConfig(want desired.Service, part part, pool *backend.Pool, set *metrics.Set, logger *slog.Logger) l7.PolicyConfig {
	s := want.Settings
	p := l7.PolicyConfig{Pool: pool, MaxRequests: part.number(s.MaxRequests, s.Fleet), Rate: clientRate(s.ClientRate, part, s.Fleet), Adaptive: s.Adaptive, QueueTimeout: s.QueueTimeout, EarlyHints: toggle(s.EarlyHints), Waits: l7Waits(s.Waits, s.HTTPWaits), RequestHeaders: s.RequestHeaders, ResponseHeaders: s.ResponseHeaders, Logger: logger, Metrics: set}
	p.TLS, _ = backendTLS(s) // checkRules has told what is wrong with it
	p.Drain, p.CloseOnUnhealthy = orNever(want.Common.DrainTimeout), s.CloseOnUnhealthy
	p.KeepIdle = orNever(want.Common.KeepIdle)
	switch s.Reuse {
	case "safe":
		p.Reuse = l7.ReuseSafe
	case "never":
		p.Reuse = l7.ReuseNever
	}
	p.Sticky = l7.Sticky{Name: s.Sticky.Name, Secret: []byte(string(want.Common.StickySecret)), Cookie: cookieConfig(s.Cookie)}
	switch s.Sticky.By {
	case "client":
		p.Sticky.By = l7.StickyClient
	case "header":
		p.Sticky.By = l7.StickyHeader
	case "cookie":
		p.Sticky.By = l7.StickyCookie
	}
	if s.Breaker.Percent > 0 {
		p.Breaker = &limit.BreakerConfig{FailureShare: s.Breaker.Percent / 100, OpenTime: s.Breaker.OpenTime}
	}
	return p
}

// clientRate says how many requests of each client a part of the fleet takes.
func clientRate(r config.ClientRate, part part, divided bool) l7.ClientRate {
	if r.Rate == 0 {
		return l7.ClientRate{}
	}
	return l7.ClientRate{PerSecond: part.rate(r.Rate, divided), Burst: part.rate(r.Burst(), divided), Header: r.RateHeader}
}

// cookieConfig says how a sticky cookie is set.
func cookieConfig(c config.Cookie) l7.Cookie {
	sameSite := map[string]string{"lax": "Lax", "strict": "Strict", "none": "None", "off": "off"}[c.SameSite]
	return l7.Cookie{
		Path: c.Path, Domain: c.Domain, SameSite: sameSite, MaxAge: c.MaxAge, Scripts: c.Scripts,
		Always: c.Secure == "true" || c.Secure != "false" && sameSite == "None", Never: c.Secure == "false",
	}
}

// l7Waits returns limits that something sets for itself as l7 takes them.
func l7Waits(w config.Waits, h config.HTTPWaits) l7.Waits {
	return l7.Waits{
		ConnectTimeout: ownWait(w.ConnectTimeout), ResponseTimeout: ownWait(h.ResponseTimeout), BodyTimeout: ownWait(h.BodyTimeout),
		TotalTimeout: ownWait(h.TotalTimeout), UpgradeIdleTimeout: ownWait(h.UpgradeIdleTimeout), UpgradeFINTimeout: ownWait(h.UpgradeFINTimeout),
		MinBodyRate: ownRate(h.MinBodyRate), Retries: ownRetries(w.Retries), RetryOn: ownStatuses(h.RetryOn),
	}
}

// ownStatuses returns what something sets for itself as l7 takes it: -1 is none.
func ownStatuses(r *config.RetryOn) int {
	switch {
	case r == nil:
		return 0
	case *r == 0:
		return -1
	}
	return int(*r)
}

// orNever returns a duration as servers take it: 0 is never for an operator,
// and the default for them.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// ownWait returns a time that something sets for itself as servers take it: 0 if
// it sets none, and negative for never.
func ownWait(d *time.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return orNever(*d)
}

// ownRetries is ownWait for a number of retries.
func ownRetries(n *int) int { return int(ownRate(n)) }

// ownRate is ownWait for a rate.
func ownRate(n *int) int64 {
	switch {
	case n == nil:
		return 0
	case *n == 0:
		return -1
	}
	return int64(*n)
}

// openToAll is what a route says that lets everybody in, whatever its listener
// says.
const openToAll = config.AuthOff

func pathForm(s string) l7.PathForm {
	return map[string]l7.PathForm{"normalized": l7.PathNormalized, "raw": l7.PathRaw}[s]
}

func toggle(b *bool) l7.Toggle {
	switch {
	case b == nil:
		return l7.Inherit
	case *b:
		return l7.On
	}
	return l7.Off
}

func prefixes(networks []config.CIDR) (all []netip.Prefix) {
	for _, n := range networks {
		all = append(all, n.Prefix)
	}
	return all
}
