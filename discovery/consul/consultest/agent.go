package consultest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// startTimeout bounds how long an agent may take until it is ready. It
	// takes a fraction of a second on an idle machine.
	startTimeout = 60 * time.Second
	pollInterval = 20 * time.Millisecond

	startAttempts = 5
	logTail       = 4 << 10
)

// Agent is a Consul agent of a test's own: a server, and leader, of one node,
// which keeps its catalogue in memory. Its methods are to be called from one
// goroutine at a time, the test's.
type Agent struct {
	t       testing.TB
	binary  string
	logPath string
	node    string
	args    []string // more arguments of its command line
	ports   ports
	client  *api.Client
	process *process // nil while stopped
}

// Start runs an agent until the test ends, and returns when it is ready to
// take registrations. It fails the test if it cannot; it never skips it. args
// are added to its command line.
func Start(t testing.TB, args ...string) *Agent {
	t.Helper()
	binary, err := findBinary(t)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{
		t:       t,
		binary:  binary,
		args:    args,
		logPath: filepath.Join(t.TempDir(), "consul.log"),
	}
	t.Cleanup(a.Stop)
	for attempt := 1; ; attempt++ {
		a.ports, err = freePorts()
		if err == nil {
			// No other agent, not even one that took the port, answers for it.
			a.node = fmt.Sprintf("node-%x", rand.Uint64())
			err = a.start()
		}
		if err == nil {
			return a
		}
		// Someone may have taken a port between the test for it and its use.
		if attempt == startAttempts {
			t.Fatalf("cannot start Consul in %d attempts: %v\n%s", attempt, err, a.tail())
		}
	}
}

// Addr returns the address, host:port, of the agent's HTTP API. It stays the
// same when the agent restarts.
func (a *Agent) Addr() string { return a.ports.httpAddress() }

// DNS returns the address, host:port, of the agent's DNS server, which answers
// over UDP and TCP.
func (a *Agent) DNS() string { return local(a.ports.dns) }

// Node returns the name of the agent's node.
func (a *Agent) Node() string { return a.node }

// API returns a client of the agent, for whatever the methods of Agent do not
// offer.
func (a *Agent) API() *api.Client { return a.client }

// Stop kills the agent, as a crash would, and waits for its end; the
// catalogue is lost. It does nothing if the agent does not run.
func (a *Agent) Stop() {
	if a.process != nil {
		a.process.stop()
		a.process = nil
	}
}

// Restart stops the agent if it runs, starts it with the same addresses and
// an empty catalogue, and returns when it is ready.
func (a *Agent) Restart() {
	a.t.Helper()
	a.Stop()
	for attempt := 1; ; attempt++ {
		err := a.start()
		if err == nil {
			return
		}
		if attempt == startAttempts {
			a.t.Fatalf("cannot restart Consul in %d attempts: %v\n%s", attempt, err, a.tail())
		}
	}
}

// Freeze makes the running agent hang: it keeps its connections and takes new
// ones, and answers nothing, until Thaw.
func (a *Agent) Freeze() {
	a.t.Helper()
	if err := freeze(a.process.cmd.Process); err != nil {
		a.t.Fatalf("cannot freeze Consul: %v", err)
	}
}

// Thaw ends Freeze.
func (a *Agent) Thaw() {
	a.t.Helper()
	if err := thaw(a.process.cmd.Process); err != nil {
		a.t.Fatalf("cannot thaw Consul: %v", err)
	}
}

// start runs the agent and waits until it is ready; if that fails, the agent
// is stopped.
func (a *Agent) start() error {
	client, err := api.NewClient(&api.Config{Address: a.Addr(), Scheme: "http"})
	if err != nil {
		return fmt.Errorf("cannot make a client of Consul: %w", err)
	}
	a.client = client
	args := append([]string{"agent", "-dev", "-node", a.node,
		"-bind", "127.0.0.1", "-client", "127.0.0.1", "-log-level", "info", "-hcl", a.ports.config()}, a.args...)
	p, err := startProcess(a.logPath, a.binary, args...)
	if err != nil {
		return err
	}
	if err := a.awaitReady(p); err != nil {
		p.stop()
		return err
	}
	a.process = p
	return nil
}

// awaitReady returns when the agent leads its cluster of one and has
// registered its own node, which is the first thing a leader does.
func (a *Agent) awaitReady(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	options := new(api.QueryOptions).WithContext(ctx)
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		checks, _, err := a.client.Health().Node(a.node, options)
		if err == nil && len(checks) > 0 {
			return nil
		}
		select {
		case <-poll.C:
		case <-p.done:
			return errors.New("consul ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("consul was not ready in %s; last error: %v", startTimeout, err)
		}
	}
}

// tail returns the end of the agent's output.
func (a *Agent) tail() string {
	out, err := os.ReadFile(a.logPath)
	if err != nil {
		return err.Error()
	}
	if len(out) > logTail {
		out = out[len(out)-logTail:]
	}
	return "the end of its output:\n" + string(bytes.TrimSpace(out))
}

// ports are those that an agent cannot do without.
type ports struct {
	http, server, serf, dns int
}

// config returns the part of the agent's configuration that has no flag.
func (p ports) config() string {
	return fmt.Sprintf(`
ports {
  http = %d
  server = %d
  serf_lan = %d
  serf_wan = -1
  https = -1
  dns = %d
  grpc = -1
  grpc_tls = -1
}
connect { enabled = false }
ui_config { enabled = false }
disable_update_check = true
`, p.http, p.server, p.serf, p.dns)
}

func (p ports) httpAddress() string { return local(p.http) }

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts returns ports on which nothing listens now.
func freePorts() (ports, error) {
	var p ports
	taken := make(map[int]bool)
	for _, port := range []*int{&p.http, &p.server, &p.serf, &p.dns} {
		var err error
		if *port, err = freePort(); err != nil {
			return ports{}, err
		}
		if taken[*port] {
			return ports{}, errors.New("cannot find distinct free ports")
		}
		taken[*port] = true
	}
	return p, nil
}

// freePort returns a port that is free for TCP and UDP. It lies below the
// range from which systems choose the ports of outgoing connections and of
// listeners on port 0, lest one of those takes it while an agent restarts.
func freePort() (int, error) {
	const low, high, attempts = 10_000, 30_000, 100
	var err error
	for range attempts {
		port := low + rand.IntN(high-low)
		if err = probe(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("cannot find a free port between %d and %d: %w", low, high, err)
}

func probe(port int) error {
	tcp, err := net.Listen("tcp", local(port))
	if err != nil {
		return err
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", local(port))
	if err != nil {
		return err
	}
	return udp.Close()
}

// process is a child that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed after the child has ended and was waited for
}

// startProcess runs a command whose output is appended to the file at logPath.
func startProcess(logPath, name string, args ...string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot start %q: %w", name, err)
	}
	defer log.Close()
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	dieWithParent(p.cmd)
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %q: %w", name, err)
	}
	return p, nil
}

// run starts the child, says so and waits for its end. It keeps its thread
// all the while, since the child dies with the thread that started it.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // how it ended is in its output, if it was not killed
	}
}

// stop kills the child if it still runs and waits for its end.
func (p *process) stop() {
	// The only error is that the child has ended already.
	_ = p.cmd.Process.Kill()
	<-p.done
}
