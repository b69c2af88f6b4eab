package engine

import (
	"fmt"
	"math"
	"strconv"

	"sluice/pkg/admin"
)

// Limits returns every limit of listeners and services in force.
func (a asked) Limits() (all []admin.LimitView) {
	p := a.e.services.part()
	for _, f := range a.e.fronts.list() {
		all = append(all, listenerLimits(f, p)...)
	}
	for _, s := range a.e.services.wanted() {
		all = append(all, serviceLimits(s, p)...)
	}
	return all
}

// limitsOf collects the limits of one thing.
type limitsOf struct {
	of      string
	part    part
	divided bool // those for clients are for the fleet
	all     []admin.LimitView
}

// add adds a limit that is for this sluice alone; 0 is none.
func (l *limitsOf) add(limit string, value int, now string) {
	if value > 0 {
		l.all = append(l.all, admin.LimitView{Limit: limit, Of: l.of, Value: strconv.Itoa(value), Now: now})
	}
}

// addPart adds a limit that may be a part of one for the fleet; a whole of 0 is
// none, and what is the unit of both.
func (l *limitsOf) addPart(limit string, value, whole float64, what, now string) {
	if whole <= 0 {
		return
	}
	v := admin.LimitView{Limit: limit, Of: l.of, Value: legible(value) + what, Now: now}
	if l.divided {
		v.Fleet, v.Tasks = legible(whole)+what, max(1, int(l.part))
	}
	l.all = append(l.all, v)
}

// legible writes a number for people to read.
func legible(x float64) string {
	return strconv.FormatFloat(math.Round(x*1e4)/1e4, 'f', -1, 64)
}

// listenerLimits are the limits of a listener.
func listenerLimits(f *front, p part) []admin.LimitView {
	limits := f.clientLimits()
	l := limitsOf{of: "listener " + f.addr().String(), part: p, divided: limits.Fleet}
	open := fmt.Sprintf("%d open", f.listener.Open())
	l.add("max-conns", limits.MaxConns, open)
	conns, perSecond := f.listener.ClientLimits()
	l.addPart("max-conns-per-client", float64(conns), float64(limits.MaxConnsPerClient), "", open)
	l.addPart("max-rate-per-client", perSecond, float64(limits.MaxRatePerClient), " connections a second", "")
	if f.rate != nil {
		l.addPart("rate", f.rate.PerSecond(), f.wants.HTTP.Rate, " requests a second of each client", "")
	}
	return l.all
}

// serviceLimits are the limits of a service.
func serviceLimits(s *service, p part) []admin.LimitView {
	settings := s.wants.Load().Settings
	l := limitsOf{of: "service " + s.name, part: p, divided: settings.Fleet}
	requests, inFlight, rate := s.policy.Bounds()
	now := fmt.Sprintf("%d in flight", inFlight)
	if settings.Adaptive {
		l.add("concurrency=adaptive", requests, now)
	}
	l.addPart("max-requests", float64(p.number(settings.MaxRequests, settings.Fleet)), float64(settings.MaxRequests), "", now)
	l.addPart("rate", rate, settings.Rate, " requests a second of each client", "")
	l.add("max-conns of each backend", settings.MaxConns, "")
	if settings.MaxConns > 0 {
		l.add("queue", settings.Queue, fmt.Sprintf("%d waiting", s.pool.Waiting()))
	}
	l.add("retry budget in percent", *settings.RetryBudget, "")
	return l.all
}
