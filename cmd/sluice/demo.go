package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"

	"sluice/engine"
	"sluice/pkg/echo"
)

// demoBackends is how many echo backends the demo runs.
const demoBackends = 3

// demo is the echo backends of --demo.
type demo struct {
	addrs []string
	wg    sync.WaitGroup

	// mu protects the field below.
	mu      sync.Mutex
	servers []*echo.Server // nil for one that was killed
}

// startDemo starts the echo backends.
func startDemo() (*demo, error) {
	d := &demo{}
	for i := range demoBackends {
		s, err := echo.Listen("127.0.0.1:0", echo.Config{Name: demoName(i)})
		if err != nil {
			d.close()
			return nil, fmt.Errorf("--demo: %w", err)
		}
		d.servers, d.addrs = append(d.servers, s), append(d.addrs, s.Addr().String())
		d.wg.Go(func() { _ = s.Serve() }) // ends with close
	}
	return d, nil
}

// toggle kills the first backend, connections and all, or starts it again where
// it was, so that somebody sees what becomes of that.
func (d *demo) toggle(logger *slog.Logger) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := demoName(0)
	if s := d.servers[0]; s != nil {
		s.Close()
		d.servers[0] = nil
		logger.Info("demo: a backend was killed; the same signal starts it again", "name", name, "addr", d.addrs[0])
		return
	}
	s, err := echo.Listen(d.addrs[0], echo.Config{Name: name})
	if err != nil {
		logger.Error("demo: the backend cannot be started again", "name", name, "err", err)
		return
	}
	d.servers[0] = s
	d.wg.Go(func() { _ = s.Serve() })
	logger.Info("demo: the backend was started again", "name", name, "addr", d.addrs[0])
}

func demoName(i int) string { return fmt.Sprintf("demo-%d", i+1) }

// complete makes what was read balance over the echo backends, by default each in
// turn and without a delay at the end, as nobody is in front. Without --demo it
// does nothing.
func (d *demo) complete(cmd *command) {
	c := &cmd.config
	if !c.Demo {
		return
	}
	c.WithDemo(d.addrs)
	if !cmd.flags.Changed("strategy") {
		c.Strategy = "round_robin"
	}
	if !cmd.flags.Changed("drain-delay") {
		c.DrainDelay = 0
	}
}

func (d *demo) close() {
	d.mu.Lock()
	for _, s := range d.servers {
		if s != nil {
			s.Close()
		}
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// elsewhere tells what to do about an address of the demo that is taken.
func elsewhere(err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("%w\nthe demo takes other addresses: sluice --demo --l7 127.0.0.1:8090 --l4 127.0.0.1:8091 --admin 127.0.0.1:9901", err)
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
			fmt.Fprintf(w, "  admin    http://%s/dashboard/   /admin/backends   /metrics   /debug/pprof/\n", l.Addr)
		}
	}
	fmt.Fprintf(w, "\nkill -USR1 %d kills the backend %s, and once more starts it again.\n", os.Getpid(), demoName(0))
	fmt.Fprint(w, "Ctrl-C drains and stops, a second Ctrl-C stops at once.\n\n")
}

// spaced returns addr as nc takes it.
func spaced(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	return host + " " + port
}
