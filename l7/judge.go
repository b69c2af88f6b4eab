package l7

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"sluice/l7/http1"
)

// judge finds out what becomes of a request whose head is good: it is
// redirected, refused, or goes on to x.svc. It reports whether it goes on. The
// order is that of what is known first: path, HTTPS, route, network, redirect,
// rate.
func (x *exchange) judge() bool {
	s, p := x.sh.s, &x.path
	if why := p.Set(x.req.Path, &s.cfg.Paths); why != "" {
		x.refuse(BadRequest, why)
		return false
	}
	if s.cfg.RequireHTTPS && !x.from.secure {
		port := s.cfg.HTTPSPort
		if port == 0 {
			port = 443
		}
		to, err := appendSecureLocation(nil, x.from.asked, p.Normal, x.req.Query(), port)
		x.redirect(HTTPSRedirect, secureCode(x.req.Method), to, err)
		return false
	}
	l := lookup{s.router.Load(), &x.req, x.from.secure}
	x.route = l.find(p.Plain)
	switch rt := x.route; {
	case rt == nil:
		x.refuse(NoRoute, "no route for this host and path")
		return false
	case p.Odd != 0 && !unambiguous(p, l, rt):
		x.refuse(BadRequest, ambiguousPath)
		return false
	case !rt.admits(x.from.client):
		x.refuse(Forbidden, Forbidden.explain())
		return false
	case rt.redirect != nil:
		to, err := rt.appendLocation(nil, x.from.asked, p.Normal, x.req.Query())
		x.redirect(Redirected, rt.redirect.code, to, err)
		return false
	case !x.takeRate():
		x.refuse(RateLimited, RateLimited.explain())
		return false
	case x.tooLarge(x.req.Length):
		x.refuse(BodyTooLarge, BodyTooLarge.explain())
		return false
	}
	choose(p, l, x.route, s.cfg.PathForm)
	svc := x.route.serviceFor(x.key)
	if passed(&x.req, svc.mark) {
		x.refuse(LoopDetected, LoopDetected.explain())
		return false
	}
	x.svc, x.from.mark = svc, svc.mark
	x.waits = x.sh.s.waits.with(x.svc.policy.ownWaits()).with(&x.route.waits)
	return true
}

// takeRate reports whether the client may make one more request now.
func (x *exchange) takeRate() bool {
	cfg := &x.sh.s.cfg
	if cfg.Rate == nil {
		return true
	}
	key := uint64(0)
	if value := http1.Value(x.req.Fields, cfg.RateHeader); len(value) > 0 {
		key = cfg.Rate.Bytes(value)
	} else {
		key = cfg.Rate.Addr(x.from.client)
	}
	x.retryAfter = cfg.Rate.Take(key, x.sh.l.Time())
	return x.retryAfter == 0
}

// tooLarge reports whether a body of n bytes is more than may be.
func (x *exchange) tooLarge(n int64) bool {
	most := x.sh.s.cfg.MaxBodyBytes
	return most > 0 && n > most
}

// redirect answers a request by sending the client to to, for the reason r, or
// refuses it if err is not nil.
func (x *exchange) redirect(r Reason, code int, to []byte, err error) {
	if err != nil {
		x.refuse(BadRequest, strings.TrimPrefix(err.Error(), "l7: "))
		return
	}
	x.sh.s.redirects.Inc()
	x.reason = r
	x.discard()
	x.closing = x.closing || !x.inDone
	x.status = code
	b := append(x.sh.l.Scratch()[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(append(b, ' '), http.StatusText(code)...)
	b = append(b, "\r\nLocation: "...)
	b = append(append(b, to...), "\r\n"...)
	b = http1.AppendLine(b, "Date", x.sh.now())
	b = http1.AppendLine(b, "X-Sluice-Reason", r.String())
	b = http1.AppendFraming(b, 0)
	if c := x.connection(); c != "" {
		b = http1.AppendLine(b, "Connection", c)
	}
	b = x.editResponse(append(b, "\r\n"...))
	x.outDone = true
	if x.toClient(b) && x.pending.empty() {
		x.finish()
	}
}

// target returns what is forwarded of the request's target, and sets the Host
// that goes with it.
func (x *exchange) target() []byte {
	rt := x.route
	if x.from.host = rt.host; rt.host == "dst" {
		x.from.host = x.backend.Addr()
	}
	if rt.strip == "" && rt.prepend == "" && len(x.path.Forward) == len(x.path.Raw) && &x.path.Forward[0] == &x.path.Raw[0] {
		return x.req.Target
	}
	x.rewritten = rt.appendTarget(x.rewritten[:0], x.path.Forward, x.req.Query())
	return x.rewritten
}

// hstsLine returns the header line that asks clients to use HTTPS for so long.
func hstsLine(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return "Strict-Transport-Security: max-age=" + strconv.FormatInt(int64(d/time.Second), 10) + "\r\n"
}

// appendOwn adds to b, a response's head, what sluice says itself.
func (x *exchange) appendOwn(b []byte) []byte {
	hsts := x.sh.s.hsts
	if hsts != "" && (!x.from.secure || http1.HasLine(b, "strict-transport-security")) {
		hsts = ""
	}
	if hsts == "" && !x.repin {
		return b
	}
	b = append(b[:len(b)-2], hsts...) // less the empty line
	if x.repin {
		p := x.svc.policy
		b = p.pins.appendSetCookie(b, p.sticky.Name, x.backend, x.from.secure)
	}
	return append(b, "\r\n"...)
}
