package engine

import (
	"cmp"
	"log/slog"
	"net/netip"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7"
	"sluice/pkg/accesslog"
	"sluice/pkg/backend"
	"sluice/pkg/config"
	"sluice/pkg/limit"
	"sluice/pkg/reactor"
)

func l7Config(c *config.Config, l config.L7, services *services, loops *reactor.Group, access *accesslog.Log, set *metrics.Set, logger *slog.Logger) l7.Config {
	cfg := l7.Config{
		Routes:          configuredRoutes(c, services),
		TrustedProxies:  prefixes(c.TrustedProxies),
		Forwarded:       l.Forwarded,
		Instance:        services.instance,
		TraceShare:      l.TraceSample / 100,
		Paths:           pathPolicy(l.Paths),
		PathForm:        pathForm(l.Paths.Form),
		RequireHTTPS:    l.HTTPSRedirect != 0,
		HTTPSPort:       l.HTTPSRedirect,
		HSTS:            l.HSTS,
		RateHeader:      l.RateHeader,
		MaxBodyBytes:    l.MaxBody,
		ConnectTimeout:  c.L7ConnectTimeout,
		HeadTimeout:     c.L7HeadTimeout,
		BodyTimeout:     c.L7BodyTimeout,
		ResponseTimeout: c.L7ResponseTimeout,
		IdleTimeout:     c.L7IdleTimeout,
		FINTimeout:      orNever(c.L7FINTimeout),
		Loops:           loops,
		EarlyHints:      toggle(l.EarlyHints),
		RequestHeaders:  l.RequestHeaders,
		ResponseHeaders: l.ResponseHeaders,
		AccessLog:       access,
		LogFields:       logFields(c),
		Logger:          logger,
		Metrics:         set,
	}
	cfg.Auth, _ = services.auths.of(l.Auth)
	cfg.ClientCerts = l.ClientCA != ""
	own := l7Waits(l.Waits, l.HTTPWaits)
	cfg.ConnectTimeout = cmp.Or(own.ConnectTimeout, cfg.ConnectTimeout)
	cfg.ResponseTimeout = cmp.Or(own.ResponseTimeout, cfg.ResponseTimeout)
	cfg.BodyTimeout = cmp.Or(own.BodyTimeout, cfg.BodyTimeout)
	cfg.HeadTimeout = cmp.Or(ownWait(l.HeadTimeout), cfg.HeadTimeout)
	cfg.IdleTimeout = cmp.Or(ownWait(l.IdleTimeout), cfg.IdleTimeout)
	cfg.FINTimeout = cmp.Or(ownWait(l.FINTimeout), cfg.FINTimeout)
	cfg.TotalTimeout = cmp.Or(own.TotalTimeout, c.L7TotalTimeout)
	cfg.UpgradeIdleTimeout = cmp.Or(own.UpgradeIdleTimeout, orNever(c.L7UpgradeIdleTimeout))
	cfg.UpgradeFINTimeout = cmp.Or(own.UpgradeFINTimeout, orNever(c.L7UpgradeFINTimeout))
	cfg.MinBodyRate = cmp.Or(own.MinBodyRate, ownRate(&c.L7MinBodyRate))
	cfg.LingerTimeout, cfg.LingerTime = c.L7LingerTimeout, c.L7LingerTime
	cfg.Retries, cfg.MaxHeadBytes, cfg.MaxFields, cfg.MaxTargetBytes = own.Retries, l.MaxHead, l.MaxFields, l.MaxTarget
	if l.Rate > 0 {
		burst := float64(l.RateBurst)
		if burst == 0 {
			burst = l.Rate
		}
		cfg.Rate = limit.NewRate(l.Rate, burst)
	}
	return cfg
}

// l7Waits returns limits that something sets for itself as l7 takes them.
func l7Waits(w config.Waits, h config.HTTPWaits) l7.Waits {
	return l7.Waits{
		ConnectTimeout: ownWait(w.ConnectTimeout), ResponseTimeout: ownWait(h.ResponseTimeout), BodyTimeout: ownWait(h.BodyTimeout),
		TotalTimeout: ownWait(h.TotalTimeout), UpgradeIdleTimeout: ownWait(h.UpgradeIdleTimeout), UpgradeFINTimeout: ownWait(h.UpgradeFINTimeout),
		MinBodyRate: ownRate(h.MinBodyRate), Retries: ownRetries(w.Retries),
	}
}

// ownRate returns a rate that something sets for itself as l7 takes it.
func ownRate(n *int) int64 {
	switch {
	case n == nil:
		return 0
	case *n == 0:
		return -1
	}
	return int64(*n)
}

// configuredRoutes returns the routes of the configuration.
func configuredRoutes(c *config.Config, services *services) (routes []l7.Route) {
	for _, r := range c.Routes {
		route := l7.Route{
			Host: r.Host, Path: r.Path, Methods: r.Methods,
			Allow: prefixes(r.Allow), Deny: prefixes(r.Deny),
			Redirect: l7.Redirect{Code: r.Redirect.Code, To: r.Redirect.To},
			Form:     pathForm(r.Form),
			Strip:    r.Strip, Prepend: r.Prepend, ForwardHost: r.RewriteHost,
			RequestHeaders: r.RequestHeaders, ResponseHeaders: r.ResponseHeaders,
			EarlyHints: toggle(r.EarlyHints), Waits: l7Waits(r.Waits, r.HTTPWaits),
		}
		route.Auth, route.Open = services.auths.of(r.Auth)
		for _, h := range r.Headers {
			route.Headers = append(route.Headers, l7.HeaderMatch{Name: h.Name, Value: h.Value})
		}
		if s := services.get(r.Service); s != nil {
			route.Balancer, route.RetryBudget, route.Policy = s.balancer, s.budget, s.policy
		}
		if s := services.get(r.Mirror.To); s != nil {
			route.Mirror = l7.Mirror{
				Balancer: s.balancer, RetryBudget: s.budget, Policy: s.policy, Percent: r.Mirror.Percent, MaxBody: r.Mirror.MaxBody,
			}
		}
		if s := services.get(r.Canary.Service); s != nil {
			route.Canary = l7.Canary{Balancer: s.balancer, RetryBudget: s.budget, Policy: s.policy, Percent: r.Canary.Percent}
		}
		routes = append(routes, route)
	}
	return routes
}

// pathPolicy says how a listener reads paths.
func pathPolicy(p config.Paths) l7.PathPolicy {
	rule := map[string]l7.PathRule{"keep": l7.PathKeep, "decode": l7.PathDecode, "reject": l7.PathReject}
	return l7.PathPolicy{EncodedSlash: rule[p.EncodedSlash], Backslash: rule[p.Backslash], Semicolon: rule[p.Semicolon], AllowNUL: p.NUL == "keep"}
}

func pathForm(s string) l7.PathForm {
	return map[string]l7.PathForm{"normalized": l7.PathNormalized, "raw": l7.PathRaw}[s]
}

// policyConfig says how the requests for a service are kept together and
// bounded.
func policyConfig(c *config.Config, s config.Service, pool *backend.Pool, set *metrics.Set, logger *slog.Logger) l7.PolicyConfig {
	p := l7.PolicyConfig{Pool: pool, MaxRequests: s.MaxRequests, Adaptive: s.Adaptive, QueueTimeout: s.QueueTimeout, EarlyHints: toggle(s.EarlyHints), Waits: l7Waits(s.Waits, s.HTTPWaits), RequestHeaders: s.RequestHeaders, ResponseHeaders: s.ResponseHeaders, Logger: logger, Metrics: set}
	p.Drain, p.CloseOnUnhealthy = drainTimeout(c, s), s.CloseOnUnhealthy
	p.KeepIdle = orNever(c.L7BackendIdleTimeout)
	if s.BackendIdleTimeout != nil {
		p.KeepIdle = orNever(*s.BackendIdleTimeout)
	}
	switch s.Reuse {
	case "safe":
		p.Reuse = l7.ReuseSafe
	case "never":
		p.Reuse = l7.ReuseNever
	}
	p.Sticky = l7.Sticky{Name: s.Sticky.Name, Secret: []byte(string(c.StickySecret)), Cookie: cookieConfig(s.Cookie)}
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

// cookieConfig says how a sticky cookie is set.
func cookieConfig(c config.Cookie) l7.Cookie {
	sameSite := map[string]string{"lax": "Lax", "strict": "Strict", "none": "None", "off": "off"}[c.SameSite]
	return l7.Cookie{
		Path: c.Path, Domain: c.Domain, SameSite: sameSite, MaxAge: c.MaxAge, Scripts: c.Scripts,
		Always: c.Secure == "true" || c.Secure != "false" && sameSite == "None", Never: c.Secure == "false",
	}
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

// logFields returns what the lines of requests have by choice.
func logFields(c *config.Config) (all []l7.LogField) {
	fields, _ := c.AccessLogFields.Parse() // Validate saw to it
	for _, f := range fields {
		all = append(all, l7.LogField{Key: f.Key, Of: l7.LogOf(f.Of), Name: f.Name})
	}
	return all
}

func prefixes(networks []config.CIDR) (all []netip.Prefix) {
	for _, n := range networks {
		all = append(all, n.Prefix)
	}
	return all
}
