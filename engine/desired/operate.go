package desired

import (
	"cmp"
	"net"
	"slices"
	"strings"

	"sluice/pkg/backend"
	"sluice/pkg/control"
)

// operate takes what of an operator's overlay no configuration can say.
func (s *State) operate(o control.Overlay) {
	words := make(map[string][]string) // addresses by service
	for _, c := range o.Changes() {
		if c.Target.Kind == control.OfBackend {
			words[c.Target.Service] = append(words[c.Target.Service], c.Target.Name)
		}
	}
	for i := range s.Services {
		x := &s.Services[i]
		name := cmp.Or(x.PartOf, x.Settings.Name)
		if x.Pool != nil { // which no setting of the configuration is of
			own := x.Settings.Name
			x.Settings.Name = name
			x.Settings = o.OverService(x.Settings)
			x.Settings.Name = own
		}
		x.Orders.Text, x.Orders.Maintenance = o.Maintenance(name)
		x.Orders.Added = o.Added(name)
		for _, addr := range words[name] {
			w := o.Word(name, addr)
			if order := orderOf(w); order != (backend.Order{}) {
				if x.Orders.Backends == nil {
					x.Orders.Backends = make(map[string]backend.Order)
				}
				x.Orders.Backends[addr] = order
			}
			if w.Removed && !slices.Contains(x.Orders.Removed, addr) {
				x.Orders.Removed = append(x.Orders.Removed, addr)
			}
		}
	}
}

// lead makes the routes to a service lead a part of its clients elsewhere, where
// they do not do so by themselves: to another service, or to some of its own
// backends, which are a service of their own then.
func (s *State) lead(o control.Overlay) {
	for _, x := range slices.Clone(s.Services) {
		canary, on := o.Canary(x.Settings.Name)
		if !on {
			continue
		}
		to := canary.Service
		if to != "" {
			for _, other := range s.Services {
				if other.Settings.Name == to {
					to = other.ID
				}
			}
		} else {
			part := x
			part.ID, part.Else = "canary "+x.ID, "canary"
			part.TCP, part.named, part.PartOf = false, false, x.Settings.Name
			part.Subset = Subset{Address: canary.Backend, Tag: canary.Tag}
			to = part.ID
			for i := range s.Services {
				if s.Services[i].ID == x.ID {
					s.Services[i].Subset = Subset{Address: canary.Backend, Tag: canary.Tag, Others: true}
				}
			}
			s.Services = append(s.Services, part)
		}
		for i := range s.Routes {
			if r := &s.Routes[i]; r.To == x.ID {
				r.Canary.Service, r.Canary.Percent, r.CanaryTo = to, canary.Percent, to
			}
		}
	}
}

// orderOf returns the order that an operator's word is.
func orderOf(w control.Word) backend.Order {
	o := backend.Order{Drain: w.Drain, CloseBy: w.CloseBy, Eject: w.Ejected, Reason: w.Reason}
	switch w.Force {
	case "up":
		o.Force = backend.ForceUp
	case "down":
		o.Force = backend.ForceDown
	}
	switch {
	case !w.Weighted:
	case w.Weight.IsFactor && w.Weight.Factor > 0:
		o.Reweigh.Factor = w.Weight.Factor
	default:
		o.Reweigh.Set, o.Reweigh.Weight = true, w.Weight.Weight
	}
	if o == (backend.Order{Reason: o.Reason}) {
		return backend.Order{}
	}
	return o
}

// SameAddress reports whether an address is the one that an operator's target
// names.
func SameAddress(addr, target string) bool { return addr == target || Canonical(addr) == target }

// Canonical returns an address as operators' targets have it.
func Canonical(addr string) string {
	if a, err := control.ParseAddress(addr); err == nil {
		return a
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return net.JoinHostPort(strings.ToLower(host), port)
}

// Order returns the operator's order about the backend at an address, in
// whatever form a source has it.
func (o Orders) Order(addr string) (order backend.Order, ok bool) {
	if order, ok = o.Backends[addr]; ok || len(o.Backends) == 0 {
		return order, ok
	}
	order, ok = o.Backends[Canonical(addr)]
	return order, ok
}

// Without reports whether the operator removed the member at an address.
func (o Orders) Without(addr string) bool {
	return len(o.Removed) > 0 && (slices.Contains(o.Removed, addr) || slices.Contains(o.Removed, Canonical(addr)))
}
