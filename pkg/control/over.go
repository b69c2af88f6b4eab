package control

import (
	"slices"
	"strconv"
	"strings"

	"sluice/pkg/config"
)

// Over returns the configuration that is to run: c with the overlay's
// services' settings, routes, listeners, members and the process's settings. c
// stays as it is. What no configuration can say is left to Word, Canary
// and Maintenance. The result may be invalid, which its Validate says.
func (o Overlay) Over(c *config.Config) *config.Config {
	next := *c
	next.Services = slices.Clone(c.Services)
	next.Routes = slices.Clone(c.Routes)
	next.L4 = slices.Clone(c.L4)
	next.L7 = slices.Clone(c.L7)
	next.Backends = slices.Clone(c.Backends)
	for _, ch := range o.changes {
		switch ch.Target.Kind {
		case OfRoute:
			overRoute(&next, ch)
		case OfListener:
			overListener(&next, ch)
		case OfProcess:
			overProcess(&next, ch)
		}
	}
	// A service that nothing leads to is none: whatever was changed of it waits.
	services := next.ServiceNames()
	for _, ch := range o.changes {
		if ch.Target.Kind == OfService && configKey(ch.What) != "" && slices.Contains(services, ch.Target.Service) {
			s := next.ServiceNamed(ch.Target.Service)
			*s = over(*s, ch)
		}
	}
	return &next
}

// OverService returns the settings of one service, however it was made, with
// those of the overlay.
func (o Overlay) OverService(s config.Service) config.Service {
	o.of(Service(s.Name), func(c Change) { s = over(s, c) })
	return s
}

// configKey returns the key of --service that a change sets, or nothing.
func configKey(w What) string {
	switch w {
	case Strategy, PanicThreshold, MaxEjection, EjectionTime, SlowStart, RetryBudget, Breaker, MaxRequests, Rate, RateBurst, RateKey, InFleet, Concurrency, MaxConns, Queue, QueueTimeout:
		return strings.ReplaceAll(string(w), "_", "-")
	}
	return ""
}

// over sets one key of a service. A value that does not fit the others is set
// all the same: it is for Validate to say so.
func over(s config.Service, c Change) config.Service {
	switch key := configKey(c.What); {
	case key == "":
	case c.What == Breaker && c.Value == "off":
		s.Breaker = config.Breaker{}
	case c.What == Rate && c.Value == "off":
		s.Rate = 0
	default:
		_ = s.Set(key, c.Value)
	}
	return s
}

func overRoute(next *config.Config, c Change) {
	i := slices.IndexFunc(next.Routes, func(r config.Route) bool { return r.Key() == c.Target.Name })
	r, err := config.ParseRoute(c.Value)
	switch {
	case c.What == Remove && i >= 0:
		next.Routes = slices.Delete(next.Routes, i, i+1)
	case c.What != Set || err != nil:
	case i >= 0:
		next.Routes[i] = r
	default:
		next.Routes = append(next.Routes, r)
	}
}

func overListener(next *config.Config, c Change) {
	l4 := slices.IndexFunc(next.L4, func(l config.L4) bool { return l.Key() == c.Target.Name })
	l7 := slices.IndexFunc(next.L7, func(l config.L7) bool { return l.Addr == c.Target.Name })
	if c.What == Remove {
		if l4 >= 0 {
			next.L4 = slices.Delete(next.L4, l4, l4+1)
		}
		if l7 >= 0 {
			next.L7 = slices.Delete(next.L7, l7, l7+1)
		}
		return
	}
	l, err := ParseListener(c.Value)
	switch {
	case c.What != Set || err != nil:
	case l.L4 != nil && l4 >= 0:
		next.L4[l4] = *l.L4
	case l.L4 != nil:
		next.L4 = append(next.L4, *l.L4)
	case l7 >= 0:
		next.L7[l7] = *l.L7
	default:
		next.L7 = append(next.L7, *l.L7)
	}
}

func overProcess(next *config.Config, c Change) {
	switch c.What {
	case LogLevel:
		next.LogLevel = c.Value
	case AccessLog:
		next.AccessLog = c.Value == "true"
	case AccessLogSample:
		if n, err := strconv.Atoi(c.Value); err == nil {
			next.AccessLogSample = n
		}
	}
}
