package main

import (
	"fmt"
	"io"
	"net"
	"sync"

	"sluice/engine"
	"sluice/pkg/config"
	"sluice/pkg/echo"
)

// demoBackends is how many echo backends the demo runs.
const demoBackends = 3

// demo is the echo backends of --demo.
type demo struct {
	servers []*echo.Server
	wg      sync.WaitGroup
}

// startDemo starts the echo backends.
func startDemo() (*demo, error) {
	d := &demo{}
	for i := range demoBackends {
		s, err := echo.Listen("127.0.0.1:0", echo.Config{Name: fmt.Sprintf("demo-%d", i+1)})
		if err != nil {
			d.close()
			return nil, fmt.Errorf("--demo: %w", err)
		}
		d.servers = append(d.servers, s)
		d.wg.Go(func() { _ = s.Serve() }) // ends with close
	}
	return d, nil
}

// complete makes what was read balance over the echo backends, by default each in
// turn and without a delay at the end, as nobody is in front. The addresses are
// fixed, so that what the README shows works. Without --demo it does nothing.
func (d *demo) complete(cmd *command) {
	c := &cmd.config
	if !c.Demo {
		return
	}
	for _, s := range d.servers {
		c.Backends = append(c.Backends, config.Backend{Service: "echo", Addr: s.Addr().String(), Weight: 1})
	}
	c.L7 = []config.L7{{Addr: "127.0.0.1:8080"}}
	c.L4 = []config.L4{{Addr: "127.0.0.1:8081", Service: "echo"}}
	c.Routes = []config.Route{{Path: "/", Service: "echo"}}
	if !cmd.flags.Changed("strategy") {
		c.Strategy = "round_robin"
	}
	if !cmd.flags.Changed("drain-delay") {
		c.DrainDelay = 0
	}
}

func (d *demo) close() {
	for _, s := range d.servers {
		s.Close()
	}
	d.wg.Wait()
}

// banner says where the demo can be reached.
func banner(w io.Writer, e *engine.Engine) {
	fmt.Fprintf(w, "\nsluice demo: %d echo backends, each in turn\n\n", demoBackends)
	for _, l := range e.Listening() {
		switch l.Kind {
		case "l7":
			fmt.Fprintf(w, "  HTTP     curl http://%s/\n", l.Addr)
		case "l4":
			fmt.Fprintf(w, "  TCP      curl http://%s/   (or nc %s)\n", l.Addr, spaced(l.Addr))
		case "admin":
			fmt.Fprintf(w, "  admin    http://%s/   /admin/backends   /metrics   /debug/pprof/\n", l.Addr)
		}
	}
	fmt.Fprint(w, "\nCtrl-C drains and stops, a second Ctrl-C stops at once.\n\n")
}

// spaced returns addr as nc takes it.
func spaced(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	return host + " " + port
}
