package control

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/pkg/config"
)

// Running is what runs, against which orders are judged. All methods are safe
// for concurrent use.
type Running interface {
	// Services returns the names of all services, in order.
	Services() []string
	// CanHave reports whether a route or a listener may lead to a service that
	// there is not yet, because something may know its members.
	CanHave(service string) bool
	// Members returns all members of a service as they are now, those included
	// that the operator removed and its sources still list, and whether there is
	// such a service.
	Members(service string) ([]Member, bool)
	// Routes returns the routes in force, of all sources, those included that
	// the operator removed and a source still asks for.
	Routes() []Item
	// Listeners is Routes for listeners.
	Listeners() []Item
	// Try reports what stands against an overlay: Problems, or a Conflict. It
	// changes nothing.
	Try(next Overlay) error
}

// Member is a member of a service.
type Member struct {
	// ID and Address are the backend's.
	ID, Address string
	// Tags are those that its source says it has.
	Tags []string
	// Usable says that it gets new connections now.
	Usable bool
	// Listed says that a source lists it, beside the operator.
	Listed bool
}

// Item is a route or a listener.
type Item struct {
	// Key is its name as a Target.
	Key string
	// Listed says that something other than the operator asks for it.
	Listed bool
}

// plain returns an edit without what would only cancel something out: a removal
// of what the operator alone had added undoes that, and an addition of what a
// source lists undoes its removal.
func plain(r Running, force Overlay, e Edit) Edit {
	if r == nil {
		return e
	}
	set := e.Set
	e.Set = nil
	for _, c := range set {
		t := c.Target
		has := func(w What) bool { _, ok := force.Get(Key{t, w}); return ok }
		switch {
		case c.What == Remove && (has(Add) || has(Set)) && !listed(r, t):
			force.of(t, func(old Change) { e.Undo = append(e.Undo, old.Key()) })
			e.By, e.Reason = c.By, c.Reason
		case c.What == Add && c.Value == "" && has(Remove) && listed(r, t):
			e.Undo = append(e.Undo, Key{t, Remove})
			e.By, e.Reason = c.By, c.Reason
		default:
			e.Set = append(e.Set, c)
		}
	}
	return e
}

// listed reports whether something other than the operator asks for t.
func listed(r Running, t Target) bool {
	is := func(i Item) bool { return i.Key == t.Name && i.Listed }
	switch t.Kind {
	case OfBackend:
		members, _ := r.Members(t.Service)
		return slices.ContainsFunc(members, func(m Member) bool { return m.Address == t.Name && m.Listed })
	case OfRoute:
		return slices.ContainsFunc(r.Routes(), is)
	case OfListener:
		return slices.ContainsFunc(r.Listeners(), is)
	}
	return true
}

func keysOf(items []Item) (keys []string) {
	for _, i := range items {
		keys = append(keys, i.Key)
	}
	return keys
}

// judge judges an order against what runs. It returns warnings, and an error if
// it cannot be done.
func (b *Book) judge(force, wanted Overlay, e Edit, order Order) (warnings []string, err error) {
	r := b.cfg.Running
	if r == nil {
		return nil, nil
	}
	var problems Problems
	services := r.Services()
	for _, c := range order.Set {
		problems = append(problems, findTarget(r, services, force, wanted, c)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	tried := blame(order, r.Try(wanted))
	if errors.As(tried, &problems) { // what is wrong goes before what may be forced
		return nil, tried
	}
	for _, service := range touched(e) {
		reason := leavesEmpty(r, force, wanted, service)
		switch {
		case reason == "":
		case order.Force:
			warnings = append(warnings, reason+"; done all the same, as was asked")
		default:
			return nil, Conflict{Reason: reason, Forcible: true}
		}
	}
	if tried != nil {
		return nil, tried
	}
	return warnings, nil
}

// blame has problems of what an order makes of the settings name the parameter of
// its only change.
func blame(order Order, err error) error {
	var problems Problems
	if len(order.Set) != 1 || !errors.As(err, &problems) {
		return err
	}
	c := order.Set[0]
	all := slices.Clone(problems)
	for i := range all {
		all[i].Field, all[i].Value = rule{kind: c.Target.Kind, what: c.What}.field(), Shorten(c.Value)
	}
	return all
}

// findTarget checks that what a change is of is there.
func findTarget(r Running, services []string, force, wanted Overlay, c Change) Problems {
	missing := func(field, value, reason string, allowed []string) Problems {
		return Problems{{Field: field, Value: Shorten(value), Reason: reason, Allowed: some(allowed)}}
	}
	t := c.Target
	if t.Kind == OfService || t.Kind == OfBackend {
		if !slices.Contains(services, t.Service) {
			return missing("service", t.Service, "there is no such service", services)
		}
	}
	switch {
	case t.Kind == OfBackend && c.What != Add:
		members, _ := r.Members(t.Service)
		var addresses []string
		for _, m := range members {
			addresses = append(addresses, m.Address)
		}
		_, added := wanted.Get(Key{t, Add})
		_, was := force.Get(Key{t, Add})
		if !added && !was && !slices.Contains(addresses, t.Name) {
			return missing("backend", t.Name, "service "+strconv.Quote(t.Service)+" has no such backend", addresses)
		}
	case t.Kind == OfService && c.What == Canary:
		canary, _ := ParseCanary(c.Value)
		if canary.Service != "" && !slices.Contains(services, canary.Service) {
			return missing("canary", c.Value, "there is no such service", services)
		}
		if members, _ := r.Members(t.Service); canary.Backend != "" &&
			!slices.ContainsFunc(members, func(m Member) bool { return m.Address == canary.Backend }) {
			return missing("canary", c.Value, "service "+strconv.Quote(t.Service)+" has no such backend", nil)
		}
	case t.Kind == OfRoute && c.What == Set:
		route, _ := config.ParseRoute(c.Value)
		for _, name := range []string{route.Service, route.Canary.Service} {
			if name != "" && !slices.Contains(services, name) && !r.CanHave(name) {
				return missing("route", c.Value, fmt.Sprintf("there is no service %q", name), services)
			}
		}
	case t.Kind == OfListener && c.What == Set:
		l, _ := ParseListener(c.Value)
		if l.L4 != nil && !slices.Contains(services, l.L4.Service) && !r.CanHave(l.L4.Service) {
			return missing("listener", c.Value, fmt.Sprintf("there is no service %q", l.L4.Service), services)
		}
	case t.Kind == OfRoute && c.What == Remove:
		if all := keysOf(r.Routes()); !slices.Contains(all, t.Name) {
			return missing("route", t.Name, "there is no such route", all)
		}
	case t.Kind == OfListener && c.What == Remove:
		if all := keysOf(r.Listeners()); !slices.Contains(all, t.Name) {
			return missing("listener", t.Name, "there is no such listener", all)
		}
	}
	return nil
}

// some bounds a list of allowed values.
func some(all []string) []string {
	const most = 50
	if len(all) > most {
		return append(slices.Clone(all[:most]), fmt.Sprintf("and %d more", len(all)-most))
	}
	return all
}

// touched returns the services of whose backends an edit takes something away.
func touched(e Edit) (services []string) {
	for _, c := range e.Set {
		if c.Target.Kind == OfBackend && c.What != Add || c.Target.Kind == OfService && c.What == Canary {
			services = append(services, c.Target.Service)
		}
	}
	for _, k := range e.Undo {
		if k.Target.Kind == OfBackend && (k.What == Add || k.What == Force) {
			services = append(services, k.Target.Service)
		}
	}
	slices.Sort(services)
	return slices.Compact(services)
}

// leavesEmpty returns why an order would leave a service, or one of the two parts
// that a canary makes of it, without any backend: none that is usable while there
// is one now, or none at all that the operator leaves in. It is empty if it would
// not.
func leavesEmpty(r Running, force, wanted Overlay, service string) (reason string) {
	members, ok := r.Members(service)
	if !ok {
		return ""
	}
	canary, _ := wanted.Canary(service)
	parted := canary.Service == "" && canary != CanaryChange{}
	before, _ := force.Canary(service)
	for _, inCanary := range []bool{false, true} {
		if inCanary && !parted {
			continue
		}
		in := func(m Member) bool { return !parted || canary.Has(m) == inCanary }
		who, g := strconv.Quote(service), count(members, in, force, wanted, service)
		switch {
		case inCanary:
			who = fmt.Sprintf("%q's canary %s", service, canary)
		case parted:
			who = fmt.Sprintf("%q, beside its canary %s,", service, canary)
		}
		switch fresh := parted && canary != before; {
		case g.left == 0 && (len(members) > 0 && !inCanary || g.members > 0 || fresh):
			return fmt.Sprintf("it would leave service %s without any backend", who)
		case g.usable > 0 && g.usableLeft == 0, fresh && g.usableLeft == 0 && len(members) > 0:
			return fmt.Sprintf("it would leave service %s without any backend that can serve: the other %d cannot", who, g.left)
		}
	}
	return ""
}

// counted is how many members there are, how many of them are usable now, and how
// many of both an order leaves.
type counted struct{ members, usable, left, usableLeft int }

// count counts the members that in means, those that an order adds included.
func count(members []Member, in func(Member) bool, force, wanted Overlay, service string) (n counted) {
	for _, m := range members {
		if !in(m) {
			continue
		}
		n.members++
		before, after := force.Word(service, m.Address), wanted.Word(service, m.Address)
		_, out := after.Out()
		_, wasOut := before.Out()
		_, wasAdded := force.Get(Key{Backend(service, m.Address), Add})
		_, added := wanted.Get(Key{Backend(service, m.Address), Add})
		if wasAdded && !added && !m.Listed {
			out = true
		}
		if m.Usable {
			n.usable++
		}
		if out {
			continue
		}
		n.left++
		// One that the operator alone kept out may serve again.
		if m.Usable || wasOut || after.Force == "up" {
			n.usableLeft++
		}
	}
	for _, added := range wanted.Added(service) {
		known := slices.ContainsFunc(members, func(m Member) bool { return m.Address == added.Addr })
		if _, out := wanted.Word(service, added.Addr).Out(); !out && !known && in(Member{Address: added.Addr}) {
			n.left, n.usableLeft = n.left+1, n.usableLeft+1
		}
	}
	return n
}

// FindBackend returns the service and address of the backend that a name,
// which is an address, a URL or an ID, means; service may be empty if only one
// service has it.
func FindBackend(r Running, service, name string) (Target, Problems) {
	services := r.Services()
	if service == "" {
		service, name = SplitBackend(services, name)
	}
	address, bad := ParseAddress(name)
	if service != "" {
		if !slices.Contains(services, service) {
			return Target{}, Problems{{Field: "service", Value: Shorten(service), Reason: "there is no such service", Allowed: some(services)}}
		}
		services = []string{service}
	}
	var found []Target
	var addresses []string
	for _, s := range services {
		members, _ := r.Members(s)
		for _, m := range members {
			addresses = append(addresses, m.Address)
			if m.Address == address || m.ID == name {
				found = append(found, Backend(s, m.Address))
			}
		}
	}
	found = slices.CompactFunc(found, func(a, b Target) bool { return a == b })
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var names []string
		for _, t := range found {
			names = append(names, t.Service)
		}
		return Target{}, Problems{{Field: "service", Value: service, Reason: "several services have backend " + strconv.Quote(name), Allowed: names}}
	case service != "" && bad == nil:
		return Backend(service, address), nil // it may be removed, which only a change can tell
	case bad != nil:
		return Target{}, Problems{{Field: "backend", Value: Shorten(name), Reason: bad.Error(), Allowed: some(addresses)}}
	}
	slices.Sort(addresses)
	return Target{}, Problems{{Field: "backend", Value: Shorten(name), Reason: "no service has such a backend", Allowed: some(slices.Compact(addresses))}}
}

// SplitBackend returns the service and the backend of SERVICE/BACKEND, as HAProxy's
// users write it, or no service if that is none.
func SplitBackend(services []string, name string) (service, backend string) {
	if s, rest, ok := strings.Cut(name, "/"); ok && slices.Contains(services, s) && rest != "" {
		return s, rest
	}
	return "", name
}

// TheService returns the service that is meant if none is named: the only one.
func TheService(r Running, service string) (string, Problems) {
	services := r.Services()
	switch {
	case service != "" && slices.Contains(services, service):
		return service, nil
	case service == "" && len(services) == 1:
		return services[0], nil
	}
	reason := cmp.Or(map[bool]string{true: "there are several services; say which"}[service == ""], "there is no such service")
	return "", Problems{{Field: "service", Value: Shorten(strings.TrimSpace(service)), Reason: reason, Allowed: some(services)}}
}
