package gate

import (
	"strings"

	"sluice/l7/http1"
	"sluice/pkg/limit"
)

// Judge finds out what becomes of a request whose head is good: it is
// redirected, refused, or goes on to a service. The order is that of what is
// known first: path, HTTPS, route, network, redirect, rate.
func (t *Ticket) Judge(now Now) Decision {
	g, p := t.g, &t.path
	t.closing = t.Req.Close
	if n := t.Req.Length; n == http1.NoLength || n == 0 {
		t.whole = true
	}
	t.identify()
	if t.call = (call{is: isCall(&t.Req), status: unsaid}); t.call.is && !t.client.HTTP2 {
		return t.Refuse(BadVersion, needsHTTP2)
	}
	if why := p.Set(t.Req.Path, &g.cfg.Paths); why != "" {
		return t.Refuse(BadRequest, why)
	}
	if g.cfg.RequireHTTPS && !t.from.secure {
		port := g.cfg.HTTPSPort
		if port == 0 {
			port = 443
		}
		to, err := appendSecureLocation(nil, t.from.asked, p.Normal, t.Req.Query(), port)
		return t.redirect(HTTPSRedirect, secureCode(t.Req.Method), to, err)
	}
	l := lookup{g.router.Load(), &t.Req, t.from.secure}
	t.route = l.find(p.Plain)
	switch rt := t.route; {
	case rt == nil:
		return t.Refuse(NoRoute, "no route for this host and path")
	case p.Odd != 0 && !unambiguous(p, l, rt):
		return t.Refuse(BadRequest, ambiguousPath)
	case !rt.admits(t.from.client):
		return t.Refuse(Forbidden, "")
	case rt.redirect != nil:
		to, err := rt.appendLocation(nil, t.from.asked, p.Normal, t.Req.Query())
		return t.redirect(Redirected, rt.redirect.code, to, err)
	case !t.takeRate(g.cfg.Rate, g.cfg.RateHeader, now):
		return t.Refuse(RateLimited, "")
	case t.BodyTooLarge(t.Req.Length):
		return t.Refuse(BodyTooLarge, "")
	}
	choose(p, l, t.route, g.cfg.PathForm)
	svc := t.route.serviceFor(t.key)
	if passed(&t.Req, svc.mark) {
		return t.Refuse(LoopDetected, "")
	}
	t.svc, t.from.mark, t.admission.rules = svc, svc.mark, svc.rules()
	if r := t.admission.rules; r.rate != nil && !t.takeRate(r.rate, r.rateHeader, now) {
		return t.Refuse(RateLimited, "")
	}
	t.limits = g.limits.with(&t.admission.rules.waits).with(&t.route.waits)
	if t.call.is {
		t.limitCall()
	}
	return Forward
}

// takeRate reports whether the client, which a header tells apart, may make one
// more request now under a limit, which may be nil.
func (t *Ticket) takeRate(rate *limit.Rate, header string, now Now) bool {
	if rate == nil {
		return true
	}
	key := uint64(0)
	if value := http1.Value(t.Req.Fields, header); len(value) > 0 {
		key = rate.Bytes(value)
	} else {
		key = rate.Addr(t.from.client)
	}
	t.outcome.retryAfter = rate.Take(key, now.Time)
	return t.outcome.retryAfter == 0
}

// BodyTooLarge reports whether a body of n bytes is more than may be. A driver
// asks for bodies whose length is not known before, as they come.
func (t *Ticket) BodyTooLarge(n int64) bool {
	most := t.g.cfg.MaxBodyBytes
	return most > 0 && n > most
}

// redirect answers a request by sending the client to to, for the reason r, or
// refuses it if err is not nil.
func (t *Ticket) redirect(r Reason, code int, to []byte, err error) Decision {
	if err != nil {
		return t.Refuse(BadRequest, withoutPrefix(err))
	}
	t.g.redirects.Inc()
	t.outcome.reason, t.outcome.status, t.outcome.location = r, code, to
	return Answer
}

// withoutPrefix returns an error of ours as a client is told of it.
func withoutPrefix(err error) string { return strings.TrimPrefix(err.Error(), "l7: ") }

// ContinueBody reports whether the client waits for 100 Continue before it sends
// the body, none of which has come.
func (t *Ticket) ContinueBody() bool { return t.Req.Expect && !t.whole }
