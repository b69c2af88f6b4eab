package engine

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"sluice/l7"
	"sluice/pkg/admin"
	"sluice/pkg/balance"
	"sluice/pkg/config"
	"sluice/pkg/control"
)

// foreseen is how often a pick is tried out to see how it is shared.
const foreseen = 1000

// foreseer is an HTTP server that says what would become of a request.
type foreseer interface {
	Foresee(p l7.Probe) l7.Foresight
}

// Explain says what would become of a connection or request, by the code that
// decides about them.
func (a asked) Explain(q admin.Question) (admin.Explanation, error) {
	if q.RequestID != "" {
		return a.explainPast(q.RequestID)
	}
	if !q.Client.IsValid() {
		q.Client = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	f, err := a.frontFor(q)
	if err != nil {
		return admin.Explanation{}, err
	}
	x := admin.Explanation{Backends: []admin.ExplainedBackend{}, Limits: []admin.LimitView{}, Steps: []string{}}
	if f != nil {
		x.Listener = f.addr().String()
		x.Steps = append(x.Steps, fmt.Sprintf("the %s listener %s accepts it", f.kind, f.addr()))
		x.Limits = append(x.Limits, listenerLimits(f, a.e.services.part())...)
	}
	request := balance.Request{Key: balance.HashAddr(q.Client), HasKey: true}
	var s *service
	switch {
	case q.Service != "":
		if s = a.e.services.named(q.Service); s == nil {
			return x, control.Problems{{Field: "service", Value: q.Service, Reason: "there is no such service", Allowed: a.Services()}}
		}
		x.Steps = append(x.Steps, "the question names the service")
	case f.kind == "l4":
		if s = a.byName(f, q.Host, &x); s == nil {
			x.Verdict = "the connection is closed: the listener leads nobody of that name anywhere"
			return x, nil
		}
	default:
		if s, request = a.byRoute(f, q, &x); s == nil {
			return x, nil
		}
	}
	a.explainService(s, request, &x)
	return x, nil
}

// frontFor returns the listener that a question is about; nil if it names a
// service that needs none.
func (a asked) frontFor(q admin.Question) (*front, error) {
	fronts := a.e.fronts.list()
	if q.Listener != "" {
		for _, f := range fronts {
			if q.Listener == f.wants.Addr || q.Listener == f.addr().String() || slices.ContainsFunc(f.wants.L4(), func(l config.L4) bool { return l.Key() == q.Listener }) {
				return f, nil
			}
		}
		return nil, control.Problems{{Field: "listener", Value: q.Listener, Reason: "there is no such listener", Allowed: keysOfItems(a.Listeners())}}
	}
	if q.Service != "" {
		return nil, nil
	}
	for _, f := range fronts {
		if f.kind == "l7" {
			return f, nil
		}
	}
	if len(fronts) == 0 {
		return nil, control.Problems{{Field: "listener", Reason: "there is no listener"}}
	}
	return fronts[0], nil
}

func keysOfItems(items []control.Item) (keys []string) {
	for _, i := range items {
		keys = append(keys, i.Key)
	}
	return keys
}

// byName finds the service of a TCP listener for the name that a client asks
// for.
func (a asked) byName(f *front, name string, x *admin.Explanation) *service {
	rest := -1
	for i, p := range f.wants.Parts {
		switch {
		case p.SNI == "":
			rest = i
		case name != "" && (strings.EqualFold(p.SNI, name) || strings.HasPrefix(p.SNI, "*.") && strings.HasSuffix(strings.ToLower(name), p.SNI[1:])):
			x.Steps = append(x.Steps, "its part for "+p.SNI+" is for clients that ask for "+name)
			return f.leadsTo[i]
		}
	}
	if rest < 0 {
		return nil
	}
	if len(f.wants.Parts) > 1 {
		x.Steps = append(x.Steps, "its part without sni= is for all other clients")
	}
	return f.leadsTo[rest]
}

// byRoute finds the service of an HTTP request.
func (a asked) byRoute(f *front, q admin.Question, x *admin.Explanation) (*service, balance.Request) {
	server, ok := f.server.(foreseer)
	if !ok {
		x.Verdict = "this listener's driver does not tell"
		return nil, balance.Request{}
	}
	got := server.Foresee(l7.Probe{
		Client: q.Client, Secure: f.shown != nil, Method: cmp.Or(q.Method, http.MethodGet), Host: q.Host, Path: cmp.Or(q.Path, "/"), Headers: q.Headers,
	})
	x.Route = got.Route
	if got.Path != "" {
		x.Steps = append(x.Steps, "routes are looked for by the path "+got.Path)
	}
	if got.Route != "" {
		x.Steps = append(x.Steps, "the route "+got.Route+" is the most specific one")
	}
	if got.Balancer == nil {
		x.Verdict = "it is answered by sluice itself: " + got.Reason.String()
		if got.Detail != "" {
			x.Verdict += ": " + got.Detail
		}
		return nil, balance.Request{}
	}
	if got.Canary {
		x.Steps = append(x.Steps, "the client is among those that the route's canary leads elsewhere")
	}
	for _, s := range a.e.services.list() {
		if s.balancer == got.Balancer {
			return s, got.Request
		}
	}
	x.Verdict = "the service has just gone"
	return nil, balance.Request{}
}

// explainService tells how a service would pick.
func (a asked) explainService(s *service, request balance.Request, x *admin.Explanation) {
	x.Service, x.Strategy = s.name, s.balancer.Strategy()
	x.Steps = append(x.Steps, fmt.Sprintf("the service %s picks by %s", s.name, x.Strategy))
	want := s.wants.Load()
	if want.Orders.Maintenance {
		x.Verdict = "it is refused: an operator has put the service into maintenance"
	}
	x.Limits = append(x.Limits, serviceLimits(s, a.e.services.part())...)
	chosen := s.balancer.Foresee(request, foreseen)
	snap := s.pool.Snapshot()
	for _, b := range snap.All {
		eligible, why := b.Eligible()
		offered := snap.Offers(b)
		switch {
		case eligible && !offered:
			why = "it is in reserve: members of an earlier priority can serve"
		case offered && !eligible:
			why = "used all the same, since too few others are available: " + why
		}
		now := b.Now()
		x.Backends = append(x.Backends, admin.ExplainedBackend{
			Address: b.Addr(), Eligible: offered, Reason: why, Weight: b.Weight(), Active: b.Active(), Distrust: few(b.Distrust(now)),
			LatencyMilliseconds: few(1000 * b.Latency(now).Seconds()), ErrorRate: few(b.ErrorRate(now)), Warmth: few(b.Warmth(now)),
			Share: few(float64(chosen[b]) / foreseen),
		})
	}
	var most int
	for b, n := range chosen {
		if n > most || n == most && b.Addr() < x.Picked {
			most, x.Picked = n, b.Addr()
		}
	}
	switch {
	case x.Verdict != "":
	case x.Picked == "":
		x.Verdict = "no backend can serve it"
	case most == foreseen:
		x.Verdict = fmt.Sprintf("%s would be picked", x.Picked)
	default:
		x.Verdict = fmt.Sprintf("%s would be picked most often: %d of %d times as things are now", x.Picked, most, foreseen)
	}
}

// few leaves a number for people to read.
func few(x float64) float64 { return math.Round(x*1e3) / 1e3 }
