package engine

import (
	"cmp"

	"sluice/engine/desired"
	"sluice/l7"
	"sluice/pkg/config"
)

// l7Config says how the requests of an HTTP listener are served.
func (fs *fronts) l7Config(want desired.Listener, routes []l7.Route) (l7.Config, error) {
	l, c := want.HTTP, want.HTTPCommon
	var cfg l7.Config
	cfg.Routes = routes
	cfg.Driver = fs.l7Driver()
	cfg.TrustedProxies = prefixes(c.TrustedProxies)
	cfg.Forwarded = l.Forwarded
	cfg.Instance = fs.instance
	cfg.TraceShare = l.TraceSample / 100
	cfg.Paths = pathPolicy(l.Paths)
	cfg.PathForm = pathForm(l.Paths.Form)
	cfg.RequireHTTPS = l.HTTPSRedirect != 0
	cfg.HTTPSPort = l.HTTPSRedirect
	cfg.HSTS = l.HSTS
	cfg.RateHeader = l.RateHeader
	cfg.MaxBodyBytes = l.MaxBody
	cfg.EarlyHints = toggle(l.EarlyHints)
	cfg.RequestHeaders = l.RequestHeaders
	cfg.ResponseHeaders = l.ResponseHeaders
	cfg.AccessLog = fs.records.access
	cfg.Tracer = fs.records.tracer
	cfg.Recent = fs.recent
	cfg.LogFields = logFields(c.LogFields)
	cfg.Logger = fs.logger
	cfg.Metrics = fs.sets.Main
	var err error
	if cfg.Auth, err = fs.auths.get(want.Auth); err != nil {
		return cfg, err
	}
	cfg.ClientCerts = l.ClientCA != ""
	own := l7Waits(l.Waits, l.HTTPWaits)
	cfg.ConnectTimeout = cmp.Or(own.ConnectTimeout, c.ConnectTimeout)
	cfg.ResponseTimeout = cmp.Or(own.ResponseTimeout, c.ResponseTimeout)
	cfg.BodyTimeout = cmp.Or(own.BodyTimeout, c.BodyTimeout)
	cfg.HeadTimeout = cmp.Or(ownWait(l.HeadTimeout), c.HeadTimeout)
	cfg.IdleTimeout = cmp.Or(ownWait(l.IdleTimeout), c.IdleTimeout)
	cfg.FINTimeout = cmp.Or(ownWait(l.FINTimeout), orNever(c.FINTimeout))
	cfg.TotalTimeout = cmp.Or(own.TotalTimeout, c.TotalTimeout)
	cfg.RetryOn = max(0, own.RetryOn)
	cfg.UpgradeIdleTimeout = cmp.Or(own.UpgradeIdleTimeout, orNever(c.UpgradeIdleTimeout))
	cfg.UpgradeFINTimeout = cmp.Or(own.UpgradeFINTimeout, orNever(c.UpgradeFINTimeout))
	cfg.MinBodyRate = cmp.Or(own.MinBodyRate, ownRate(&c.MinBodyRate))
	cfg.HTTP2 = l7.HTTP2{Clear: l.H2C, MaxStreams: l.MaxStreams}
	cfg.LingerTimeout, cfg.LingerTime = c.LingerTimeout, c.LingerTime
	cfg.Retries, cfg.MaxHeadBytes, cfg.MaxFields, cfg.MaxTargetBytes = own.Retries, l.MaxHead, l.MaxFields, l.MaxTarget
	return cfg, nil
}

// l7Driver returns what serves HTTP listeners.
func (fs *fronts) l7Driver() l7.Driver {
	return map[string]l7.Driver{"loop": l7.Loop, "fasthttp": l7.Fasthttp}[fs.config.L7Driver]
}

// pathPolicy says how a listener reads paths.
func pathPolicy(p config.Paths) l7.PathPolicy {
	rule := map[string]l7.PathRule{"keep": l7.PathKeep, "decode": l7.PathDecode, "reject": l7.PathReject}
	return l7.PathPolicy{EncodedSlash: rule[p.EncodedSlash], Backslash: rule[p.Backslash], Semicolon: rule[p.Semicolon], AllowNUL: p.NUL == "keep"}
}

// logFields returns what the lines of requests have by choice.
func logFields(of config.LogFields) (all []l7.LogField) {
	fields, _ := of.Parse() // Validate saw to it
	for _, f := range fields {
		all = append(all, l7.LogField{Key: f.Key, Of: l7.LogOf(f.Of), Name: f.Name})
	}
	return all
}
