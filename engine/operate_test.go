package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/control"
)

// orders is an operator at work.
type orders struct {
	t *testing.T
	e *Engine
	o control.Overlay
}

func (x *orders) set(target control.Target, what control.What, value string) {
	x.t.Helper()
	x.do(control.Edit{Set: []control.Change{{Target: target, What: what, Value: value, At: time.Now(), Reason: "a test"}}})
}

func (x *orders) undo(target control.Target, what control.What) {
	x.t.Helper()
	x.do(control.Edit{Undo: []control.Key{{Target: target, What: what}}})
}

func (x *orders) do(edit control.Edit) {
	x.t.Helper()
	next := x.o.With(edit)
	if _, err := x.e.Plan(next); err != nil {
		x.t.Fatalf("the plan of %v: %v", edit, err)
	}
	if err := x.e.Apply(next); err != nil {
		x.t.Fatalf("%v: %v", edit, err)
	}
	x.o = next
}

// twoBackends runs a service web of two backends behind both kinds of listeners.
func twoBackends(t *testing.T, settings string) (x *orders, l4, l7 string, at []string) {
	t.Helper()
	return twoBackendsBy(t, "auto", settings)
}

// twoBackendsBy is twoBackends with another driver of TCP.
func twoBackendsBy(t *testing.T, driver, settings string) (x *orders, l4, l7 string, at []string) {
	t.Helper()
	if settings == "" {
		settings = ",strategy=round_robin"
	}
	at = []string{startEcho(t, "one"), startEcho(t, "two")}
	free := freeAddrs(t, 2)
	l4, l7 = free[0], free[1]
	e := run(t, read(t, map[string][]string{
		"l4-driver": {driver}, "l4": {l4 + "=web"}, "l7": {l7}, "route": {"/=web"}, "service": {"web" + settings},
		"backend": {"web=" + at[0], "web=" + at[1]},
	}))
	return &orders{t: t, e: e}, l4, l7, at
}

// served returns who answers, of n that ask by each way.
func served(t *testing.T, l4, l7 string, n int) (names []string) {
	t.Helper()
	for range n {
		tcp, err := sayHello(l4)
		if err != nil {
			t.Fatal(err)
		}
		get, err := ask("http://" + l7 + "/")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, tcp, get)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestOrdersOnBackends gives each kind of order about a backend and takes it
// back.
func TestOrdersOnBackends(t *testing.T) {
	t.Parallel()
	x, l4, l7, at := twoBackends(t, "")
	three := startEcho(t, "three")
	_, port, _ := net.SplitHostPort(three)
	named := "localhost:" + port
	want := func(what string, names ...string) {
		t.Helper()
		if got := served(t, l4, l7, 6); !slices.Equal(got, names) {
			t.Errorf("unexpected backends %s: %v; want %v", what, got, names)
		}
	}
	b := control.Backend("web", at[0])
	want("at first", "one", "two")
	for _, c := range []struct {
		what  control.What
		value string
	}{{control.Drain, ""}, {control.Force, "down"}, {control.Eject, ""}, {control.Weight, "0"}, {control.Weight, "0x"}, {control.Remove, ""}} {
		x.set(b, c.what, c.value)
		want(fmt.Sprintf("with %s %s", c.what, c.value), "two")
		x.undo(b, c.what)
		want(fmt.Sprintf("without %s", c.what), "one", "two")
	}
	x.set(control.Backend("web", named), control.Add, "")
	want("with one more", "one", "three", "two")
	x.set(control.Backend("web", named), control.Drain, "")
	want("with that drained", "one", "two")
	x.undo(control.Backend("web", named), control.Drain)
	want("with that undrained", "one", "three", "two")
	x.undo(control.Backend("web", named), control.Add)
	want("without it", "one", "two")
	x.set(b, control.Weight, "0.5x")
	if w := x.e.services.named("web").pool.Snapshot().Weights; fmt.Sprint(w) != "[64 128]" && fmt.Sprint(w) != "[128 64]" {
		t.Errorf("unexpected weights by a factor: %v", w)
	}
}

// TestDrainDeadline has a connection to a drained backend live on until the
// deadline, and no longer; one to the other is not touched.
func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	x, l4, _, at := twoBackends(t, "")
	conns := make(map[string]net.Conn)
	s := x.e.services.named("web")
	for len(conns) < 2 {
		before := make(map[string]int64)
		for _, b := range s.pool.Snapshot().All {
			before[b.Addr()] = b.Active()
		}
		c, err := net.Dial("tcp", l4)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		echoed(t, c)
		for _, b := range s.pool.Snapshot().All {
			if b.Active() > before[b.Addr()] {
				conns[b.Addr()] = c
			}
		}
	}
	x.set(control.Backend("web", at[0]), control.Drain, "")
	echoed(t, conns[at[0]])
	x.set(control.Backend("web", at[0]), control.Drain, "500ms")
	echoed(t, conns[at[0]])
	_ = conns[at[0]].SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := conns[at[0]].Read(make([]byte, 1)); err == nil || errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("unexpected end at the deadline: %v", err)
	}
	echoed(t, conns[at[1]])
}

// echoed sends a byte and expects it back.
func echoed(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatalf("a connection was cut: %v", err)
	}
}

// TestMaintenance has a service answer nobody, with the operator's text, and what
// is open go on.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	x, l4, l7, _ := twoBackends(t, "")
	open, err := net.Dial("tcp", l4)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	echoed(t, open)
	x.set(control.Service("web"), control.Maintenance, "back at 5")
	resp, err := http.Get("http://" + l7 + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 503 || string(body) != "back at 5\n" || resp.Header.Get("X-Sluice-Reason") != "maintenance" {
		t.Errorf("unexpected answer: %d %q %v, %v", resp.StatusCode, body, resp.Header, err)
	}
	if _, err := sayHello(l4); err == nil {
		t.Error("a TCP connection was served in maintenance")
	}
	echoed(t, open)
	x.undo(control.Service("web"), control.Maintenance)
	if got := served(t, l4, l7, 4); len(got) != 2 {
		t.Errorf("unexpected backends after maintenance: %v", got)
	}
}

// TestOrdersOnServices switches settings of a service and looks at what has them.
func TestOrdersOnServices(t *testing.T) {
	t.Parallel()
	x, l4, l7, _ := twoBackends(t, "")
	web, s := control.Service("web"), x.e.services.named("web")
	for i, strategy := range []string{"least_conn", "p2c", "p2c_ewma", "adaptive", "ip_hash", "maglev", "random", "round_robin", "least_conn"} {
		x.set(web, control.Strategy, strategy)
		if got := s.balancer.Strategy(); got != strategy || s.switches.Get() != uint64(i+1) {
			t.Errorf("unexpected strategy %s after %d switches; want %s", got, s.switches.Get(), strategy)
		}
		served(t, l4, l7, 1)
	}
	x.set(web, control.PanicThreshold, "7")
	x.set(web, control.MaxEjection, "9")
	x.set(web, control.SlowStart, "3s")
	if got := s.pool.Policy(); got != (backend.Policy{Panic: 7, MaxEjection: 9, SlowStart: 3 * time.Second, HashBalance: 125}) {
		t.Errorf("unexpected policy: %+v", got)
	}
	x.set(web, control.MaxRequests, "1")
	hold := make(chan struct{})
	go func() {
		defer close(hold)
		for { // until it is the one within the limit
			if got, err := ask("http://" + l7 + "/slow?d=1s"); err != nil || got != "503" {
				return
			}
		}
	}()
	eventually(t, "the limit is reached", func() bool { got, _ := ask("http://" + l7 + "/"); return got == "503" })
	x.set(web, control.MaxRequests, "10")
	if got, err := ask("http://" + l7 + "/"); err != nil || got == "503" {
		t.Errorf("unexpected answer after the limit was raised: %s, %v", got, err)
	}
	<-hold
	x.undo(web, control.MaxRequests)
	x.set(web, control.Breaker, "50:1s")
	x.set(web, control.RetryBudget, "0")
	x.set(web, control.EjectionTime, "5s")
	x.set(web, control.Concurrency, "adaptive")
	x.set(web, control.Queue, "5")
	served(t, l4, l7, 3)
	for _, key := range []control.What{control.Breaker, control.RetryBudget, control.EjectionTime, control.Concurrency, control.Queue} {
		x.undo(web, key)
	}
	served(t, l4, l7, 3)
}

// TestOrdersOnRoutesAndListeners adds, changes and removes both.
func TestOrdersOnRoutesAndListeners(t *testing.T) {
	t.Parallel()
	x, l4, l7, _ := twoBackends(t, "")
	at := freeAddrs(t, 2)
	x.set(control.Route("/old"), control.Set, "/old=,redirect=308:/new")
	x.set(control.Route("/"), control.Remove, "")
	if got, err := ask("http://" + l7 + "/"); err != nil || got != "404" {
		t.Errorf("unexpected answer without the route: %s, %v", got, err)
	}
	x.undo(control.Route("/"), control.Remove)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get("http://" + l7 + "/old")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 308 {
		t.Errorf("unexpected status of a route that was added: %d", resp.StatusCode)
	}
	x.set(control.Listener(at[0]), control.Set, "l4 "+at[0]+"=web")
	x.set(control.Listener(at[1]), control.Set, "l7 "+at[1])
	if got := served(t, at[0], at[1], 4); len(got) != 2 {
		t.Errorf("unexpected backends behind listeners that were added: %v", got)
	}
	x.undo(control.Listener(at[0]), control.Set)
	x.undo(control.Listener(at[1]), control.Set)
	for _, addr := range at {
		eventually(t, addr+" is closed", func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err != nil
		})
	}
	served(t, l4, l7, 2)
}

// TestOrdersRefused has what cannot be refused as a whole, and nothing changed.
func TestOrdersRefused(t *testing.T) {
	t.Parallel()
	x, l4, l7, _ := twoBackends(t, "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := x.e.State()
	f := func(want string, changes ...control.Change) {
		t.Helper()
		next := x.o.With(control.Edit{Set: changes})
		_, planned := x.e.Plan(next)
		applied := x.e.Apply(next)
		for _, err := range []error{planned, applied} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("unexpected error: %v; want %q", err, want)
			}
		}
		if !before.Equal(x.e.State()) {
			t.Errorf("something has changed")
		}
	}
	strategy := control.Change{Target: control.Service("web"), What: control.Strategy, Value: "maglev"}
	f("cannot listen on", strategy, control.Change{Target: control.Listener(taken.Addr().String()), What: control.Set, Value: "l4 " + taken.Addr().String() + "=web"})
	f("no such file", strategy, control.Change{Target: control.Listener("127.0.0.1:0"), What: control.Set, Value: "l7 127.0.0.1:0,tls-cert=/nonexistent/cert.pem"})
	if got := x.e.services.named("web").balancer.Strategy(); got != "round_robin" {
		t.Errorf("unexpected strategy: %s", got)
	}
	served(t, l4, l7, 2)
}

// TestCanaryOrders leads a part of the clients elsewhere: to some of the service's
// own backends.
func TestCanaryOrders(t *testing.T) {
	t.Parallel()
	x, _, l7, at := twoBackends(t, "")
	who := func() (all []string) {
		for range 4 {
			got, err := ask("http://" + l7 + "/")
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, got)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	x.set(control.Service("web"), control.Canary, at[0]+":100")
	if got := who(); fmt.Sprint(got) != "[one]" {
		t.Errorf("unexpected backends with all led to one: %v", got)
	}
	x.set(control.Service("web"), control.Canary, at[0]+":0")
	if got := who(); fmt.Sprint(got) != "[two]" {
		t.Errorf("unexpected backends with none led to one: %v", got)
	}
	// What is said of a backend counts where it serves as a canary.
	x.set(control.Service("web"), control.Canary, at[0]+":100")
	x.set(control.Backend("web", at[0]), control.Remove, "")
	if got := who(); fmt.Sprint(got) != "[503]" {
		t.Errorf("a backend that was removed serves as a canary: %v", got)
	}
	x.undo(control.Backend("web", at[0]), control.Remove)
	third := startEcho(t, "three")
	x.set(control.Backend("web", third), control.Add, "")
	x.set(control.Service("web"), control.Canary, third+":100")
	if got := who(); fmt.Sprint(got) != "[three]" {
		t.Errorf("unexpected backends with all led to one that was added: %v", got)
	}
	x.undo(control.Service("web"), control.Canary)
	x.undo(control.Backend("web", third), control.Add)
	if got := who(); fmt.Sprint(got) != "[one two]" {
		t.Errorf("unexpected backends without a canary: %v", got)
	}
}

// TestActions does each once.
func TestActions(t *testing.T) {
	t.Parallel()
	x, _, l7, at := twoBackends(t, ",breaker=50,strategy=p2c_ewma")
	for range 10 {
		if _, err := ask("http://" + l7 + "/"); err != nil {
			t.Fatal(err)
		}
	}
	b := x.e.services.named("web").pool.Snapshot().All[0]
	b.Warm(time.Hour)
	target := control.Backend("web", at[0])
	if b.Addr() != at[0] {
		target = control.Backend("web", at[1])
	}
	x.set(target, control.Reset, "all")
	if b.Warming() {
		t.Error("the slow start goes on")
	}
	b.Warm(time.Hour)
	x.set(control.Service("web"), control.SlowStart, "1s")
	if !b.Warming() {
		t.Error("an action was done again")
	}
}
