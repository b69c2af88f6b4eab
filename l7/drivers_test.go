package l7

import (
	"context"
	"strings"
	"testing"

	"sluice/l7/gate"
	"sluice/pkg/listen"
)

// server is what every driver presents.
type server interface {
	Serve() error
	SetRoutes([]gate.Route) error
	Drain()
	Shutdown(context.Context) (cut int)
}

// driver is one that the suite is run with.
type driver struct {
	name string
	new  func(*listen.Listener, Config) (server, error)
	// except are the tests that the driver is not held to, each with its reason:
	// what it does instead has a test of its own.
	except map[string]string
}

func drivers() []driver {
	with := func(d Driver) func(*listen.Listener, Config) (server, error) {
		return func(ln *listen.Listener, cfg Config) (server, error) {
			cfg.Driver = d
			return New(ln, cfg)
		}
	}
	return []driver{
		{name: "loop", new: with(Loop)},
		{name: "fasthttp", new: with(Fasthttp)},
	}
}

// eachDriver runs a test with every driver, as a subtest of the driver's name, all
// at once and beside other tests; test itself calls t.Parallel.
func eachDriver(t *testing.T, test func(*testing.T)) {
	t.Parallel()
	eachDriverInTurn(t, test)
}

// eachDriverInTurn is eachDriver for tests that want the machine for themselves.
func eachDriverInTurn(t *testing.T, test func(*testing.T)) {
	for _, d := range drivers() {
		if reason := d.except[t.Name()]; reason != "" {
			t.Logf("%s is not held to this: %s", d.name, reason)
			continue
		}
		t.Run(d.name, test)
	}
}

// driverOf returns the driver that t is run with: the one that its name says, or
// the first.
func driverOf(t *testing.T) driver {
	_, rest, _ := strings.Cut(t.Name(), "/")
	name, _, _ := strings.Cut(rest, "/")
	all := drivers()
	for _, d := range all {
		if d.name == name {
			return d
		}
	}
	return all[0]
}
