package engine

import (
	"fmt"
	"io"
	"math"

	"sluice/pkg/config"
	"sluice/pkg/control"
)

// This file divides limits that are for a whole fleet: each sluice takes an equal
// part, by how many of them are ready.

// part is a sluice's share of limits with fleet=true: one of so many. Less than
// two is all of it.
type part int64

// number returns the part of a number, rounded up, so that all parts together are
// no less than the whole; 0, which is no limit, stays.
func (p part) number(whole int, divided bool) int {
	if !divided || p < 2 || whole == 0 {
		return whole
	}
	return (whole + int(p) - 1) / int(p)
}

// rate returns the part of a rate.
func (p part) rate(whole float64, divided bool) float64 {
	if !divided || p < 2 {
		return whole
	}
	return whole / float64(p)
}

// part returns the share of this sluice.
func (ss *services) part() part { return part(ss.ready.Load()) }

// divide makes the limits of a listener for single clients be this sluice's part
// of them.
func (f *front) divide(p part) {
	limits := f.clientLimits()
	if !limits.Fleet {
		return
	}
	f.listener.LimitClients(p.number(limits.MaxConnsPerClient, true), p.rate(float64(limits.MaxRatePerClient), true))
	if h := f.wants.HTTP; f.rate != nil {
		f.rate.Set(p.rate(h.Rate, true), p.rate(h.Burst(), true))
	}
}

// clientLimits are the limits of a listener as it is set.
func (f *front) clientLimits() config.ConnLimits {
	if f.kind == "l4" {
		return config.Merged(f.wants.L4()).ConnLimits
	}
	return f.wants.HTTP.ConnLimits
}

// share divides the limits of the fleet by how many sluices of it are ready.
func (e *Engine) share(ready int) {
	e.turn.Lock()
	defer e.turn.Unlock()
	before := part(e.services.ready.Swap(int64(ready)))
	msg := fmt.Sprintf("%d sluices of the fleet are ready; limits with fleet=true are divided by as many", max(1, ready))
	e.logger.Info("sluices of the fleet that are ready", "fleet", e.config.Fleet, "ready", ready, "before", int64(before), "divides", e.dividesAny())
	if e.operators.book != nil && e.dividesAny() {
		e.operators.book.Journal().Add(control.Event{Kind: control.Told, Message: msg})
	}
	p := e.services.part()
	for _, f := range e.fronts.everything() {
		f.divide(p)
	}
	for _, s := range e.services.list() {
		if want := s.wants.Load(); want.Settings.Fleet {
			s.mu.Lock()
			_ = s.policy.Set(policyConfig(*want, p, s.pool, s.metrics.Set, e.services.logger)) // as it was, but for numbers
			s.mu.Unlock()
		}
	}
}

// dividesAny reports whether any limit is for the fleet.
func (e *Engine) dividesAny() bool {
	for _, f := range e.fronts.list() {
		if f.clientLimits().Fleet {
			return true
		}
	}
	for _, s := range e.services.wanted() {
		if s.wants.Load().Settings.Fleet {
			return true
		}
	}
	return false
}

// writeClientLimits writes the limits of single clients in force on the listeners.
func (fs *fronts) writeClientLimits(w io.Writer) {
	for _, f := range fs.list() {
		conns, perSecond := f.listener.ClientLimits()
		requests := 0.0
		if f.rate != nil {
			requests = f.rate.PerSecond()
		}
		for _, l := range []struct {
			limit string
			value float64
		}{{"max-conns-per-client", float64(conns)}, {"max-rate-per-client", perSecond}, {"rate", requests}} {
			if l.value > 0 {
				fmt.Fprintf(w, "sluice_listener_client_limit{listener=%q,name=%q,addr=%q,limit=%q} %g\n", f.kind, f.listener.Name(), f.addr().String(), l.limit, math.Round(l.value*1e6)/1e6)
			}
		}
	}
}
