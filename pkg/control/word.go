package control

import (
	"slices"
	"time"

	"sluice/pkg/config"
)

// Word is what an operator wants of one backend. Its zero value is nothing. It
// is comparable.
type Word struct {
	// Drain means no new connections; from CloseBy, if it is not zero,
	// established ones are closed.
	Drain   bool
	CloseBy time.Time
	// Weighted means that Weight holds.
	Weighted bool
	Weight   WeightChange
	// Force is up or down, whatever health says, or empty.
	Force string
	// Ejected means out, as by live traffic, until EjectedUntil.
	Ejected      bool
	EjectedUntil time.Time // zero: for ever
	// Removed means that it is no member, whatever its source says.
	Removed bool
	// Reason and By are of what keeps it out, for whoever asks why.
	Reason, By string
}

// Out reports whether the backend gets no new connections because of it, and
// by what.
func (w Word) Out() (What, bool) {
	switch {
	case w.Removed:
		return Remove, true
	case w.Drain:
		return Drain, true
	case w.Force == "down":
		return Force, true
	case w.Ejected:
		return Eject, true
	case w.Weighted && w.Weight.Zero():
		return Weight, true
	}
	return "", false
}

// Word returns what the operator wants of a backend, by the address that it
// has in its service.
func (o Overlay) Word(service, address string) (w Word) {
	if canonical, err := ParseAddress(address); err == nil {
		address = canonical
	}
	o.of(Backend(service, address), func(c Change) {
		switch c.What {
		case Drain:
			w.Drain = true
			if d, err := time.ParseDuration(c.Value); err == nil && c.Value != "" {
				w.CloseBy = c.At.Add(d)
			}
		case Weight:
			if v, err := ParseWeight(c.Value); err == nil {
				w.Weighted, w.Weight = true, v
			}
		case Force:
			w.Force = c.Value
		case Eject:
			w.Ejected, w.EjectedUntil = true, c.Expires
		case Remove:
			w.Removed = true
		default:
			return
		}
		if what, out := w.Out(); out && what == c.What {
			w.Reason, w.By = c.Reason, c.By
		}
	})
	return w
}

// Added returns the members that an operator added to a service beside those
// that its sources list, ordered by address.
func (o Overlay) Added(service string) (members []config.Backend) {
	for _, c := range o.changes {
		if c.Target.Kind == OfBackend && c.Target.Service == service && c.What == Add {
			if b, err := config.ParseMember(service, c.Target.Name, c.Value); err == nil {
				members = append(members, b)
			}
		}
	}
	return members
}

// Canary returns which part of a service's clients is led elsewhere.
func (o Overlay) Canary(service string) (CanaryChange, bool) {
	c, ok := o.Get(Key{Service(service), Canary})
	if !ok {
		return CanaryChange{}, false
	}
	v, err := ParseCanary(c.Value)
	return v, err == nil
}

// Maintenance returns the text with which a service answers everything, and
// whether it does.
func (o Overlay) Maintenance(service string) (text string, on bool) {
	c, on := o.Get(Key{Service(service), Maintenance})
	return c.Value, on
}

// Process returns the value of one setting of the process: LogLevel, AccessLog
// or AccessLogSample.
func (o Overlay) Process(w What) (value string, ok bool) {
	c, ok := o.Get(Key{Process(), w})
	return c.Value, ok
}

// Actions returns what is to be done once, by version. Whoever does it notes
// the Version of each key that it has done.
func (o Overlay) Actions() (all []Change) {
	for _, c := range o.changes {
		if c.Action() {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b Change) int { return int(int64(a.Version) - int64(b.Version)) })
	return all
}

// Services returns the names of the services of which something is changed, in
// order, each once.
func (o Overlay) Services() (names []string) {
	for _, c := range o.changes {
		if c.Target.Service != "" {
			names = append(names, c.Target.Service)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
