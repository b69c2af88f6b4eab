package gate

import (
	"net/netip"
	"strings"

	"sluice/l7/http1"
	"sluice/pkg/balance"
)

// Probe is a request of which it is asked what would become of it.
type Probe struct {
	Client  netip.Addr // as found by trusted proxies
	Secure  bool       // it comes by HTTPS
	Method  string
	Host    string
	Path    string
	Headers map[string]string
}

// Foresight is what would become of a request.
type Foresight struct {
	// Reason is why it goes on to no service; None if it does.
	Reason Reason
	Detail string
	// Path is what routes are looked for by.
	Path string
	// Route is the host and path of the one that was found, and Service where it
	// leads, by the canary if Canary. Balancer is that of the service, and Request
	// what its strategy would be asked.
	Route    string
	Service  string
	Canary   bool
	Balancer *balance.Balancer
	Request  balance.Request
}

// Foresee says what would become of a request, by the steps of Judge. It counts
// nothing and takes nothing from any limit.
func (g *Gate) Foresee(p Probe) (f Foresight) {
	h := http1.Head{Method: []byte(p.Method), Host: []byte(p.Host), Path: []byte(p.Path), Target: []byte(p.Path), Length: http1.NoLength}
	if i := strings.IndexByte(p.Path, '?'); i >= 0 {
		h.Path = h.Target[:i]
	}
	for name, value := range p.Headers {
		h.Fields = append(h.Fields, http1.Field{Name: []byte(name), Value: []byte(value)})
	}
	var path http1.Path
	if why := path.Set(h.Path, &g.cfg.Paths); why != "" {
		f.Reason, f.Detail = BadRequest, why
		return f
	}
	f.Path = string(path.Plain)
	if g.cfg.RequireHTTPS && !p.Secure {
		f.Reason, f.Detail = HTTPSRedirect, "clients without HTTPS are sent to it"
		return f
	}
	l := lookup{g.router.Load(), &h, p.Secure}
	rt := l.find(path.Plain)
	if rt == nil {
		f.Reason, f.Detail = NoRoute, "no route for this host and path"
		return f
	}
	f.Route = rt.name
	switch {
	case path.Odd != 0 && !unambiguous(&path, l, rt):
		f.Reason, f.Detail = BadRequest, ambiguousPath
		return f
	case !rt.admits(p.Client):
		f.Reason, f.Detail = Forbidden, "its networks do not admit the client"
		return f
	case rt.redirect != nil:
		f.Reason, f.Detail = Redirected, "it redirects"
		return f
	}
	key := balance.HashAddr(p.Client)
	svc := rt.serviceFor(key)
	f.Service, f.Canary, f.Balancer = svc.name, svc == rt.canary.service, svc.balancer
	f.Request = balance.Request{Key: key, HasKey: true}
	if s := svc.rules(); s != nil {
		if k, ok := s.sticky.key(h.Fields, p.Client); ok {
			f.Request.Key = k
		}
	}
	return f
}
