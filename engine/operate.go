package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sluice/engine/desired"
	"sluice/pkg/backend"
	"sluice/pkg/config"
	"sluice/pkg/control"
)

// What the control plane does with an engine: it asks for the state and what runs
// (State, Running), tries an overlay (Plan, Running's Try), and has the one in
// force applied (Apply). Nothing of it blocks the data path.

// Apply makes an operator's overlay count from now on, in place of the one
// before. What it does not change is not touched. If it cannot be as a whole,
// nothing has changed, and the error says why. Of its actions, each is done once.
func (e *Engine) Apply(o control.Overlay) error {
	if err := e.check(o); err != nil {
		return err
	}
	if err := e.change(func(s *desired.Sources) { s.Overlay = o }); err != nil {
		return err
	}
	e.act(o)
	return nil
}

// Plan returns what an overlay would make otherwise than it is, in order of the
// names, or what stands against it: control.Problems or a control.Conflict. It
// changes nothing.
func (e *Engine) Plan(o control.Overlay) ([]desired.Difference, error) {
	if err := e.check(o); err != nil {
		return nil, err
	}
	state := e.with(o)
	if err := e.useless(o, state); err != nil {
		return nil, err
	}
	return desired.Differences(e.State(), state), e.fits(state)
}

// useless reports what is new in an overlay and would come to nothing: a canary to
// which nobody is led, as routes alone lead there, and a backend that is this
// process and leads back to its service.
func (e *Engine) useless(o control.Overlay, s desired.State) error {
	inForce := e.overlay()
	for _, c := range o.Changes() {
		if before, was := inForce.Get(c.Key()); was && before.Value == c.Value {
			continue
		}
		if c.What == control.Add && e.leadsBack(c.Target) {
			return control.Problems{{Field: "backend", Value: c.Target.Name, Reason: fmt.Sprintf("it is a listener of this sluice that leads to service %q itself", c.Target.Service)}}
		}
		if c.What != control.Canary {
			continue
		}
		leads := slices.ContainsFunc(s.Routes, func(r desired.Route) bool {
			to, _ := s.Service(r.To)
			return to.Settings.Name == c.Target.Service
		})
		if !leads {
			return control.Problems{{Field: string(control.Canary), Value: c.Value, Reason: fmt.Sprintf("no HTTP route leads to service %q, and nothing else leads clients to a canary", c.Target.Service)}}
		}
	}
	return nil
}

// leadsBack reports whether a backend is a listener of this process that leads to
// the backend's own service.
func (e *Engine) leadsBack(backend control.Target) bool {
	addr, err := netip.ParseAddrPort(backend.Name)
	s := e.services.named(backend.Service)
	if err != nil || s == nil {
		return false
	}
	listeners, local, _ := e.services.self.known()
	return ownAt(addr, s.id, listeners, local)
}

// check reports what is wrong with the configuration that an overlay makes.
func (e *Engine) check(o control.Overlay) error {
	e.turn.Lock()
	c := e.sources.Config
	e.turn.Unlock()
	return problemsOf(checked(o.Over(c)))
}

// checked returns all that is wrong with a configuration that an operator has
// changed. What has no effect is no mistake then: the last route to a service may
// go for a while.
func checked(c *config.Config) error {
	valid := *c
	valid.Demo = false // which has been completed, and is as any other then
	all := slices.DeleteFunc(flat(errors.Join(valid.Validate(), Check(&valid))), func(err error) bool {
		var p config.Problem
		return errors.As(err, &p) && p.Idle
	})
	return errors.Join(all...)
}

// problemsOf returns what is wrong with settings as control has it.
func problemsOf(err error) error {
	if err == nil {
		return nil
	}
	var all control.Problems
	for _, e := range flat(err) {
		var p config.Problem
		if errors.As(e, &p) {
			all = append(all, control.Problem{Field: strings.ReplaceAll(p.Setting, "-", "_"), Reason: p.Reason})
		} else {
			all = append(all, control.Problem{Field: "change", Reason: e.Error()})
		}
	}
	return all
}

// flat returns the errors that were joined.
func flat(err error) (all []error) {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, flat(e)...)
	}
	return all
}

// fits reports whether the listeners of a state that are new could be bound, as
// far as can be told without doing so for long.
func (e *Engine) fits(s desired.State) error {
	for _, want := range s.Listeners {
		if want.Tags || want.AnyPort() || e.fronts.boundAt(want.Addr) {
			continue
		}
		if err := probe(want.Addr); err != nil {
			return control.Conflict{Reason: err.Error()}
		}
	}
	return nil
}

// act does what of an overlay is to be done once, unless it was.
func (e *Engine) act(o control.Overlay) {
	e.turn.Lock()
	defer e.turn.Unlock()
	for _, c := range o.Actions() {
		if e.acted[c.Key()] >= c.Version {
			continue
		}
		e.acted[c.Key()] = c.Version
		for _, s := range e.services.parts(c.Target.Service) {
			for _, b := range s.pool.Snapshot().All {
				if desired.SameAddress(b.Addr(), c.Target.Name) {
					s.act(b, c)
				}
			}
		}
	}
}

// act does one thing to a backend of the service.
func (s *service) act(b *backend.Backend, c control.Change) {
	why := strings.TrimSpace(fmt.Sprintf("%s %s", c.By, c.Reason))
	switch {
	case c.What == control.Readmit:
		s.monitor.Readmit(b, why)
	case c.Value == "ewma":
		b.Forget(backend.Latency)
	case c.Value == "warmup":
		b.Forget(backend.Warmth)
	case c.Value == "breaker":
		s.policy.ResetBreaker(b)
	case c.Value == "all":
		b.Forget(backend.Latency | backend.Warmth)
		s.policy.ResetBreaker(b)
	}
	s.logger.Info("the operator had something done", "backend", b.Addr(), "what", c.String(), "reason", c.Reason, "by", c.By)
}

// Running is what runs, for those who judge an operator's orders.
func (e *Engine) Running() control.Running { return ran{e} }

// ran is an Engine as control asks it.
type ran struct{ e *Engine }

// Services returns the names of all services, in order; the part that a canary
// leads to is none of its own.
func (r ran) Services() (names []string) {
	for _, s := range r.e.services.wanted() {
		if s.wants.Load().PartOf == "" {
			names = append(names, s.name)
		}
	}
	slices.Sort(names)
	return names
}

// CanHave reports whether a service that there is not yet can be: one that Consul
// is asked about.
func (r ran) CanHave(string) bool { return r.e.services.registry != nil }

// Members returns the members of a service, those included that the operator
// removed and its sources still list, and whether there is such a service.
func (r ran) Members(service string) (all []control.Member, ok bool) {
	parts := r.e.services.parts(service)
	if len(parts) == 0 {
		return nil, false
	}
	listed := parts[0].addresses() // of all parts
	seen := make(map[string]bool)
	for _, s := range parts {
		snap := s.pool.Snapshot()
		for _, b := range snap.All {
			m := listed[b.Addr()]
			seen[b.Addr()] = true
			all = append(all, control.Member{ID: b.ID(), Address: desired.Canonical(b.Addr()), Tags: m.Tags, Usable: snap.Offers(b), Listed: m.ID != ""})
		}
	}
	for addr, m := range listed {
		if !seen[addr] && parts[0].wants.Load().Orders.Without(addr) {
			all = append(all, control.Member{ID: m.ID, Address: desired.Canonical(addr), Tags: m.Tags, Listed: true})
		}
	}
	return all, true
}

// Routes returns the routes in force, and those that the operator removed.
func (r ran) Routes() []control.Item {
	return r.items(func(s desired.State) (keys []string) {
		for _, x := range s.Routes {
			keys = append(keys, x.Key())
		}
		return keys
	})
}

// Listeners returns the listeners in force, and those that the operator removed.
func (r ran) Listeners() []control.Item {
	return r.items(func(s desired.State) (keys []string) {
		for _, l := range s.Listeners {
			if l.Kind == "l7" {
				keys = append(keys, l.Addr)
			}
			for _, p := range l.Parts {
				keys = append(keys, p.L4.Key())
			}
		}
		return keys
	})
}

// items returns the keys of what there is with the operator's overlay and of what
// there would be without.
func (r ran) items(keysOf func(desired.State) []string) (all []control.Item) {
	r.e.turn.Lock()
	sources := r.e.sources
	r.e.turn.Unlock()
	sources.Overlay, sources.Called = control.Overlay{}, nil
	plain, _ := desired.Merge(sources)
	listed := keysOf(plain)
	for _, key := range listed {
		all = append(all, control.Item{Key: key, Listed: true})
	}
	for _, key := range keysOf(r.e.State()) {
		if !slices.Contains(listed, key) {
			all = append(all, control.Item{Key: key})
		}
	}
	return all
}

// Try reports what stands against an overlay.
func (r ran) Try(next control.Overlay) error {
	_, err := r.e.Plan(next)
	return err
}
