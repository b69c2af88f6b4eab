package engine

import (
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/engine/desired"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/config"
	"sluice/pkg/control"
)

// world is what random states are made of.
type world struct {
	r     *rand.Rand
	at    []string          // addresses for TCP listeners
	http  string            // and for the one of HTTP
	echos map[string]string // names of backends by address
	addrs []string          // of backends
}

// state is a random configuration with its overlay, and what is to be true of it.
type wish struct {
	config  *config.Config
	overlay control.Overlay
	tcp     map[string][]string // who may answer at an address
	http    map[string][]string // or for a path
}

// draw returns a random wish.
func (w *world) draw(t *testing.T) wish {
	items := make(map[string][]string)
	members := make(map[string][]string) // names of backends by service
	names := []string{"a", "b", "c"}
	var edit control.Edit
	change := func(target control.Target, what control.What, value string) {
		edit.Set = append(edit.Set, control.Change{Target: target, What: what, Value: value, At: time.Now()})
	}
	for _, name := range names {
		strategy := balance.Names()[w.r.IntN(len(balance.Names()))]
		line := fmt.Sprintf("%s,strategy=%s,panic-threshold=%d,slow-start=%ds", name, strategy, w.r.IntN(100), w.r.IntN(2))
		if w.r.IntN(3) == 0 {
			line += ",check=none"
		}
		items["service"] = append(items["service"], line)
		for i, n := range w.r.Perm(len(w.addrs))[:2+w.r.IntN(len(w.addrs)-1)] {
			addr := w.addrs[n]
			items["backend"] = append(items["backend"], fmt.Sprintf("%s=%s,weight=%d", name, addr, 1+w.r.IntN(3)))
			switch what := w.r.IntN(6); {
			case i < 2 || what > 2:
				members[name] = append(members[name], w.echos[addr])
			case what == 0:
				change(control.Backend(name, addr), control.Drain, "")
			case what == 1:
				change(control.Backend(name, addr), control.Remove, "")
			case what == 2:
				change(control.Backend(name, addr), control.Weight, "0")
			}
		}
		if w.r.IntN(4) == 0 {
			change(control.Service(name), control.Strategy, balance.Names()[w.r.IntN(len(balance.Names()))])
		}
	}
	wish := wish{tcp: make(map[string][]string), http: make(map[string][]string)}
	for _, addr := range w.at {
		if w.r.IntN(3) == 0 {
			continue
		}
		name := names[w.r.IntN(len(names))]
		line := addr + "=" + name
		if w.r.IntN(2) == 0 {
			line += fmt.Sprintf(",max-conns=%d", 1000+w.r.IntN(2))
		}
		items["l4"] = append(items["l4"], line)
		wish.tcp[addr] = members[name]
	}
	line := w.http
	if w.r.IntN(2) == 0 {
		line += fmt.Sprintf(",max-head=%dk", 16+w.r.IntN(2))
	}
	items["l7"] = []string{line}
	for _, path := range []string{"/", "/x", "/y"} {
		if path != "/" && w.r.IntN(3) == 0 {
			continue
		}
		name := names[w.r.IntN(len(names))]
		items["route"] = append(items["route"], path+"="+name)
		wish.http[path] = members[name]
	}
	for i, name := range names {
		if strings.Contains(strings.Join(items["route"], " ")+" ", "="+name) && w.r.IntN(2) == 0 {
			items["service"][i] += fmt.Sprintf(",max-requests=%d", 100+w.r.IntN(3))
		}
	}
	led := strings.Join(items["l4"], " ") + " " + strings.Join(items["route"], " ")
	for i := range items["service"] {
		if name := names[i]; !strings.Contains(led+" ", "="+name) {
			items["service"][i] = ""
		}
	}
	items["service"] = slices.DeleteFunc(items["service"], func(s string) bool { return s == "" })
	items["backend"] = slices.DeleteFunc(items["backend"], func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return !strings.Contains(led, "="+name)
	})
	wish.config = read(t, items)
	wish.overlay = control.Overlay{}.With(edit)
	return wish
}

// parts are what runs, by what it is called.
type parts struct {
	services  map[string]*service
	listeners map[string]*front
	backends  map[string]*backend.Backend
}

func partsOf(e *Engine) parts {
	p := parts{make(map[string]*service), make(map[string]*front), make(map[string]*backend.Backend)}
	for _, s := range e.services.wanted() {
		p.services[s.id] = s
		for _, b := range s.pool.Snapshot().All {
			p.backends[s.id+" "+b.Addr()] = b
		}
	}
	for _, f := range e.fronts.list() {
		p.listeners[f.id] = f
	}
	return p
}

// TestStates applies random states one after the other. After each, whatever runs
// is as it says, seen from inside and from outside, and nothing was touched that
// both say the same of: it is the same thing as before, a connection that was
// open before the first one included.
func TestStates(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &world{r: rand.New(rand.NewPCG(seed, 1)), echos: make(map[string]string)}
	for i := range 5 {
		name := fmt.Sprintf("echo-%d", i)
		addr := startEcho(t, name)
		w.echos[addr], w.addrs = name, append(w.addrs, addr)
	}
	free := freeAddrs(t, 5)
	w.at, w.http = free[:3], free[3]
	stay := fmt.Sprintf("%s=stay", free[4])

	first := w.draw(t)
	withStay := func(x wish) wish {
		l, err := config.ParseL4(stay)
		if err != nil {
			t.Fatal(err)
		}
		b, err := config.ParseBackend("stay=" + w.addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		x.config.L4, x.config.Backends = append(x.config.L4, l), append(x.config.Backends, b)
		return x
	}
	first = withStay(first)
	e := run(t, first.config)
	if err := e.Apply(first.overlay); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", free[4])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 12 {
		before, was := partsOf(e), e.State()
		next := withStay(w.draw(t))
		if w.r.IntN(4) == 0 { // the same again
			next = wish{config: e.sources.Config, overlay: e.sources.Overlay}
		}
		e.read = func() (*config.Config, error) { return next.config, nil }
		if err := e.Apply(control.Overlay{}); err != nil {
			t.Fatalf("state %d: %v", i, err)
		}
		if _, err := e.Reload(); err != nil {
			t.Fatalf("state %d: %v", i, err)
		}
		if err := e.Apply(next.overlay); err != nil {
			t.Fatalf("state %d: %v", i, err)
		}
		now := partsOf(e)
		wantParts(t, e, now)
		wantUntouched(t, was, e.State(), before, now)
		if next.tcp != nil {
			wantServed(t, w, next)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatalf("state %d: a connection that nothing concerned was cut: %v", i, err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatalf("state %d: a connection that nothing concerned was cut: %v", i, err)
		}
		if t.Failed() {
			t.Fatalf("state %d:\n%s", i, e.State())
		}
	}
}

// wantParts checks that what runs is what the state says.
func wantParts(t *testing.T, e *Engine, now parts) {
	t.Helper()
	s := e.State()
	if len(now.services) != len(s.Services) || len(now.listeners) != len(s.Listeners) {
		t.Errorf("unexpected number of services, listeners: %d, %d; want %d, %d", len(now.services), len(now.listeners), len(s.Services), len(s.Listeners))
	}
	for _, want := range s.Services {
		x := now.services[want.ID]
		if x == nil {
			t.Errorf("service %s does not run", want.ID)
			continue
		}
		p := x.pool.Policy()
		if x.balancer.Strategy() != want.Settings.Strategy || p.Panic != *want.Settings.PanicThreshold || p.SlowStart != *want.Settings.SlowStart {
			t.Errorf("service %s is not as it is wanted: %s, %+v; want %s", want.ID, x.balancer.Strategy(), p, want.Settings)
		}
		members := make(map[string]int)
		for _, b := range want.Origins[0].Static {
			if !want.Orders.Without(b.Addr) {
				members[b.Addr] = b.Weight
			}
		}
		for _, b := range x.pool.Snapshot().All {
			if w, ok := members[b.Addr()]; !ok || b.Target().Weight != w {
				t.Errorf("unexpected member of %s: %s, weight %d; want %d", want.ID, b.Addr(), b.Target().Weight, w)
			}
			if want.Orders.Backends[b.Addr()] != b.Order() {
				t.Errorf("unexpected order on %s of %s: %v; want %v", b.Addr(), want.ID, b.Order(), want.Orders.Backends[b.Addr()])
			}
			delete(members, b.Addr())
		}
		if len(members) > 0 {
			t.Errorf("service %s lacks members: %v", want.ID, members)
		}
	}
	for _, want := range s.Listeners {
		if f := now.listeners[want.ID]; f == nil || !reflect.DeepEqual(f.wants, want) {
			t.Errorf("listener %s is not as it is wanted", want.ID)
		}
	}
}

// wantUntouched checks that what two states say the same of is the same thing.
func wantUntouched(t *testing.T, was, is desired.State, before, now parts) {
	t.Helper()
	for _, x := range is.Services {
		old, ok := was.Service(x.ID)
		if ok && before.services[x.ID] != now.services[x.ID] {
			t.Errorf("service %s is another one", x.ID)
		}
		for name, b := range now.backends {
			if !strings.HasPrefix(name, x.ID+" ") || !ok {
				continue
			}
			if old.Orders.Without(b.Addr()) || x.Orders.Without(b.Addr()) || before.backends[name] == nil {
				continue
			}
			if before.backends[name] != b {
				t.Errorf("backend %s is another one", name)
			}
		}
	}
	for _, l := range is.Listeners {
		if old, ok := was.Listener(l.ID); ok && reflect.DeepEqual(old, l) && before.listeners[l.ID] != now.listeners[l.ID] && sameLed(before, now, l) {
			t.Errorf("listener %s is another one", l.ID)
		}
	}
}

// sameLed reports whether the services that a listener leads to are the same
// things.
func sameLed(before, now parts, l desired.Listener) bool {
	return !slices.ContainsFunc(l.Parts, func(p desired.Part) bool { return before.services[p.To] != now.services[p.To] })
}

// wantServed checks that every listener and route leads to those that it should,
// and that nothing else listens.
func wantServed(t *testing.T, w *world, want wish) {
	t.Helper()
	for _, addr := range w.at {
		names, there := want.tcp[addr]
		if !there {
			eventually(t, addr+" is closed", func() bool {
				c, err := net.Dial("tcp", addr)
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			continue
		}
		for range 3 {
			if got, err := sayHello(addr); err != nil || !slices.Contains(names, got) {
				t.Errorf("unexpected answer at %s: %q, %v; want one of %v", addr, got, err, names)
			}
		}
	}
	for path, names := range want.http {
		for range 3 {
			if got, err := ask("http://" + w.http + path); err != nil || !slices.Contains(names, got) {
				t.Errorf("unexpected answer for %s: %q, %v; want one of %v", path, got, err, names)
			}
		}
	}
}
