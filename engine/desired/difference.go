package desired

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Difference is one thing that is otherwise in another state.
type Difference struct {
	// What names it: the kind of thing and its ID, and what of it, as in
	// "service web strategy".
	What string `json:"what"`
	// Before and After are its value; empty if there is none.
	Before string `json:"before"`
	After  string `json:"after"`
}

// String returns d as a line of a log has it.
func (d Difference) String() string {
	switch {
	case d.Before == "":
		return fmt.Sprintf("%s: %s, new", d.What, d.After)
	case d.After == "":
		return fmt.Sprintf("%s: gone, was %s", d.What, d.Before)
	}
	return fmt.Sprintf("%s: %s, was %s", d.What, d.After, d.Before)
}

// Differences returns what it takes to get from one state to another, in
// order of the names.
func Differences(from, to State) (all []Difference) {
	before, after := from.Values(), to.Values()
	names := make(map[string]bool, len(before))
	for name := range before {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != after[name] {
			all = append(all, Difference{name, before[name], after[name]})
		}
	}
	return all
}

// String returns the state as lines, NAME: VALUE, in order of the names.
func (s State) String() string {
	var b strings.Builder
	values := s.Values()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s: %s\n", name, values[name])
	}
	return b.String()
}

// Values returns everything that the state says, by names as in Difference.
// Secrets are masked.
func (s State) Values() map[string]string {
	v := make(map[string]string)
	for _, x := range s.Services {
		x.values(v, "service "+x.ID+" ")
	}
	for _, l := range s.Listeners {
		l.values(v, "listener "+l.ID)
	}
	for i, r := range s.Routes {
		name := "route " + r.Key()
		if _, twice := v[name]; twice {
			name += fmt.Sprintf(" #%d", i)
		}
		v[name] = r.value()
	}
	v["process log-level"] = s.Process.LogLevel
	v["process access-log"] = fmt.Sprint(s.Process.AccessLog)
	v["process access-log-sample"] = fmt.Sprint(s.Process.Sample)
	return v
}

func (x Service) values(v map[string]string, name string) {
	for _, p := range x.Settings.Settings() {
		if _, twice := v[name+p.Key]; twice {
			p.Value = v[name+p.Key] + ", " + p.Value
		}
		v[name+p.Key] = p.Value
	}
	flatten(v, name+"names", x.Names)
	flatten(v, name+"checks", x.Checks)
	flatten(v, name+"common", x.Common)
	v[name+"protocol"] = "http"
	if x.TCP {
		v[name+"protocol"] = "tcp"
	}
	for _, o := range x.Origins {
		for _, b := range o.Static {
			v[strings.TrimSpace(name+"backend "+b.Addr+" "+o.From)] = b.String()
		}
	}
	if x.Pool != nil {
		for _, m := range x.Pool.Members {
			v[name+"backend "+m.Address+" "+m.ID] = fmt.Sprintf("weight=%d,status=%s", m.Weight, m.Status)
		}
	}
	if x.Orders.Maintenance {
		v[name+"maintenance"] = strings.TrimSpace("on " + x.Orders.Text)
	}
	for addr, o := range x.Orders.Backends {
		v[name+"order "+addr] = o.String()
	}
	for _, b := range x.Orders.Added {
		v[name+"added "+b.Addr] = b.String()
	}
	for _, addr := range x.Orders.Removed {
		v[name+"removed "+addr] = "true"
	}
}

func (l Listener) values(v map[string]string, name string) {
	for _, p := range l.Parts {
		part := name
		if p.SNI != "" {
			part += " sni=" + p.SNI
		}
		v[part] = p.L4.String()
		flatten(v, part+" speak", p.Speak)
	}
	if l.Kind == "l7" {
		v[name] = l.HTTP.String()
		flatten(v, name+" common", l.HTTPCommon)
	} else {
		flatten(v, name+" common", l.TCPCommon)
	}
	v[name+" handshake"] = l.Handshake.String()
}

func (r Route) value() string {
	s := r.Route.String()
	if r.Closed {
		s += " (closed)"
	}
	if r.Users.File != "" {
		s += " users " + r.Users.String()
	}
	return s
}

// flatten puts the fields of a struct into v, those that are set.
func flatten(v map[string]string, name string, of any) {
	x := reflect.ValueOf(of)
	for i := range x.NumField() {
		f := x.Field(i)
		if x.Type().Field(i).Anonymous {
			flatten(v, name, f.Interface())
			continue
		}
		if f.Kind() == reflect.Pointer {
			if f.IsNil() {
				continue
			}
			f = f.Elem()
		} else if f.IsZero() {
			continue
		}
		v[name+" "+kebab(x.Type().Field(i).Name)] = fmt.Sprint(f.Interface())
	}
}

// kebab returns the name of a field as settings are named.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 && (name[i-1] >= 'a' || i+1 < len(name) && name[i+1] >= 'a') {
			b.WriteByte('-')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}
