package engine

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/pkg/balance"
	"sluice/pkg/config"
	"sluice/pkg/control"
)

// TestChangesUnderLoad has an operator do everything, again and again, and the
// configuration reloaded, good and wrong, while clients come: none fails, no
// connection is cut that the change did not concern, and nothing is left over.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"auto", "copy"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			testChangesUnderLoad(t, driver)
		})
	}
}

func testChangesUnderLoad(t *testing.T, driver string) {
	x, l4, l7, at := twoBackendsBy(t, driver, "")
	three, more := startEcho(t, "three"), freeAddrs(t, 2)
	kept, err := net.Dial("tcp", l4)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	echoed(t, kept)
	for _, addr := range at { // so that the kept one is not drained with a deadline
		for _, b := range x.e.services.named("web").pool.Snapshot().All {
			if b.Addr() == addr && b.Active() == 0 {
				at = []string{addr}
			}
		}
	}

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var done atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				by := func() (string, error) { return sayHello(l4) }
				if i%2 == 0 {
					by = func() (string, error) { return ask("http://" + l7 + "/") }
				}
				if got, err := by(); err != nil || !slices.Contains([]string{"one", "two", "three"}, got) {
					t.Errorf("a client failed: %q, %v", got, err)
					return
				}
				done.Add(1)
			}
		})
	}

	web, one := control.Service("web"), control.Backend("web", at[0])
	round := func() {
		for _, strategy := range balance.Names() {
			x.set(web, control.Strategy, strategy)
		}
		x.undo(web, control.Strategy)
		for _, c := range []struct {
			target control.Target
			what   control.What
			value  string
		}{
			{one, control.Drain, "10s"}, {one, control.Weight, "0.1x"}, {one, control.Force, "down"}, {one, control.Eject, ""}, {one, control.Remove, ""},
			{control.Backend("web", three), control.Add, "weight=3"},
			{web, control.Canary, at[0] + ":30"}, {web, control.MaxConns, "1000"}, {web, control.MaxRequests, "1000"}, {web, control.Breaker, "50"},
			{web, control.Concurrency, "adaptive"}, {web, control.SlowStart, "1s"}, {web, control.QueueTimeout, "9s"},
			{control.Route("/more"), control.Set, "/more=web"}, {control.Listener(l4), control.Set, "l4 " + l4 + "=web,max-conns=5000"},
			{control.Listener(l7), control.Set, "l7 " + l7 + ",max-head=20k"},
			{control.Listener(more[0]), control.Set, "l4 " + more[0] + "=web"}, {control.Listener(more[1]), control.Set, "l7 " + more[1]},
		} {
			if c.what == control.QueueTimeout {
				x.set(web, control.MaxConns, "1000") // which it needs
			}
			x.set(c.target, c.what, c.value)
			if c.what == control.QueueTimeout {
				x.do(control.Edit{Undo: []control.Key{{Target: web, What: control.QueueTimeout}, {Target: web, What: control.MaxConns}}})
				continue
			}
			x.undo(c.target, c.what)
		}
		good := x.e.sources.Config
		for _, wrong := range []bool{true, false} {
			x.e.read = func() (*config.Config, error) {
				c := *good
				c.Routes = append([]config.Route{}, c.Routes...)
				if c.Strategy = "random"; wrong {
					c.L4 = append([]config.L4{{Addr: at[0], Service: "web"}}, c.L4...) // which is taken
				}
				return &c, nil
			}
			if _, err := x.e.Reload(); (err != nil) != wrong {
				t.Errorf("unexpected result of a reload: %v", err)
			}
		}
		x.e.read = func() (*config.Config, error) { return good, nil }
		if _, err := x.e.Reload(); err != nil {
			t.Error(err)
		}
		echoed(t, kept)
	}
	count := func() (goroutines, files int) {
		x.e.services.bury()
		entries, _ := os.ReadDir("/proc/self/fd")
		return runtime.NumGoroutine(), len(entries)
	}
	round()
	goroutines, files := count()
	for range 12 {
		round()
	}
	close(stop)
	wg.Wait()
	if done.Load() < 50 {
		t.Errorf("unexpected load; %d were served", done.Load())
	}
	// The tests beside this one come and go.
	last := ""
	defer func() {
		if t.Failed() {
			t.Log(last)
		}
	}()
	eventually(t, "nothing is left over", func() bool {
		g, f := count()
		fronts, services := len(x.e.fronts.everything()), len(x.e.services.list())
		last = fmt.Sprintf("%d goroutines, had %d; %d files, had %d; %d fronts; %d services", g, goroutines, f, files, fronts, services)
		return g <= goroutines+400 && f <= files+400 && fronts == 3 && services == 1 // one front has what is kept
	})
}
