package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/hashicorp/consul/api"
)

const (
	// beatInterval is how often a registration is looked after, and beatTTL how
	// long Consul believes in it without.
	beatInterval = 5 * time.Second
	beatTTL      = 3 * beatInterval
	// checkTimeout bounds Consul's own check of a health URL.
	checkTimeout = 2 * time.Second
	// forgetAfter is when Consul forgets an instance whose check fails, as of a
	// process that was killed. Less than a minute is not possible.
	forgetAfter = 10 * time.Minute
	// moveAfter is how long an agent may not answer until the registration moves
	// to another one: less than beatTTL, so that Consul does not lose the
	// instance in between.
	moveAfter = 2 * beatInterval

	registeredMetric = "sluice_consul_registered"
)

// Registration is a service that this process registers itself as.
type Registration struct {
	// ID names the instance on its agent; it should be the same when the
	// process is started anew.
	ID string
	// Service is the service's name.
	Service string
	// Address is where clients find it. Empty means the address of the agent's
	// node.
	Address string
	// Port is its port, 1 to 65535.
	Port int
	// Tags are the instance's tags.
	Tags []string
	// Balances is what the instance leads to, for other load balancers that find
	// it; see discovery.Member.
	Balances string
	// HealthURL is what Consul asks whether the instance is well: 200 means
	// yes. Empty means that the instance tells Consul itself, by Ready.
	HealthURL string
	// Ready reports whether the instance is well, and if not, why. It must be
	// quick and safe for concurrent use.
	Ready func() (ok bool, why string)
}

// Registrar keeps a registration alive. All methods are safe for concurrent
// use.
type Registrar struct {
	client     *Client
	r          Registration
	log        *slog.Logger
	registered *metrics.Gauge
	stop       context.CancelFunc
	done       chan struct{} // closed when run has returned

	// Of the goroutine that keeps the registration, and then of Deregister:
	at   int    // index of the agent that it is at
	left []bool // agents that it was at, and which have not let go of it, by index

	// mu protects the fields below.
	mu      sync.Mutex
	trouble string
	since   time.Time
}

// Register begins to register r at the agent, and to register it again
// whenever the agent has lost it, until Deregister or Abandon, of which one must be
// called.
func (c *Client) Register(r Registration) *Registrar {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Registrar{
		client:     c,
		r:          r,
		log:        c.config.Logger.With("register", r.Service, "id", r.ID, "consul", c.address),
		registered: c.config.Metrics.GetOrCreateGauge(registeredMetric+"{service="+quoted(r.Service)+"}", nil),
		stop:       cancel,
		done:       make(chan struct{}),
		left:       make([]bool, len(c.agents)),
	}
	go func() {
		defer close(g.done)
		g.run(ctx)
	}()
	return g
}

// Deregister takes the registration back and returns when the agent has
// confirmed it, or with ctx's error.
func (g *Registrar) Deregister(ctx context.Context) error {
	g.stop()
	<-g.done
	g.registered.Set(0)
	var wg sync.WaitGroup
	for i, left := range g.left {
		if left && i != g.at {
			wg.Go(func() { _ = g.withdraw(ctx, i) }) // it may still not answer, and will find that the check fails
		}
	}
	defer wg.Wait()
	if err := g.withdraw(ctx, g.at); err != nil {
		return fmt.Errorf("cannot deregister %q: %w", g.r.ID, err)
	}
	g.log.Info("deregistered from Consul")
	return nil
}

// Abandon stops looking after the registration and leaves it to somebody who
// does so from now on, a new process with the same ID.
func (g *Registrar) Abandon() {
	g.stop()
	<-g.done
	g.registered.Set(0)
	g.log.Info("left the registration in Consul to the next process")
}

// withdraw takes the registration back from an agent.
func (g *Registrar) withdraw(ctx context.Context, agent int) error {
	err := g.client.agents[agent].register.Agent().ServiceDeregisterOpts(g.r.ID, g.options(ctx))
	if unknownToAgent(err) {
		return nil
	}
	return err
}

// tidy takes the registration back from agents that it was at and that answer
// again: of two, one would be looked after by nobody.
func (g *Registrar) tidy(ctx context.Context) {
	for i, left := range g.left {
		if !left || i == g.at {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		if g.withdraw(ctx, i) == nil {
			g.left[i] = false
		}
		cancel()
	}
}

// move has the registration made at another agent, the next one that answers as
// far as is known.
func (g *Registrar) move() {
	agents := g.client.agents
	next := (g.at + 1) % len(agents)
	for i := range agents {
		if n := (g.at + 1 + i) % len(agents); n != g.at && !agents[n].lost() {
			next = n
			break
		}
	}
	g.log.Warn("the agent does not answer; registering at another one", "from", agents[g.at].address, "to", agents[next].address)
	g.left[g.at] = true
	g.at = next
}

// Service returns the name of the service that the instance is of.
func (g *Registrar) Service() string { return g.r.Service }

// Trouble says why the instance is not registered, and since when; nothing
// while it is.
func (g *Registrar) Trouble() (why string, since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trouble, g.since
}

// run registers and looks after it until ctx ends.
func (g *Registrar) run(ctx context.Context) {
	known, failures := false, 0
	var silent time.Time // since when the agent has not answered
	for {
		err := g.beat(ctx, known)
		if ctx.Err() != nil {
			return
		}
		wait := beatInterval - beatInterval/10 + rand.N(beatInterval/5)
		switch {
		case err == nil:
			g.well(!known)
			known, failures, silent = true, 0, time.Time{}
			g.tidy(ctx)
		case known && unknownToAgent(err):
			g.log.Warn("the agent has lost the registration; registering again")
			known, wait = false, 0
			g.registered.Set(0)
		default:
			failures++
			g.client.refused(err)
			wait = backoff(failures, rand.Float64())
			g.failed(err)
			switch {
			case isAnswer(err) || len(g.client.agents) == 1:
				silent = time.Time{}
			case silent.IsZero():
				silent = time.Now()
			case time.Since(silent) > moveAfter:
				g.move()
				known, failures, wait, silent = false, 0, 0, time.Time{}
			}
			if !silent.IsZero() {
				wait = min(wait, beatInterval/2)
			}
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// beat registers, or tells the agent that the instance is still there.
func (g *Registrar) beat(ctx context.Context, known bool) error {
	ctx, cancel := context.WithTimeout(ctx, beatInterval)
	defer cancel()
	agent := g.client.agents[g.at].register.Agent()
	ok, why := g.r.Ready()
	status := api.HealthPassing
	if !ok {
		status = api.HealthCritical
	}
	switch {
	case !known:
		opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true, Token: g.client.token()}
		return agent.ServiceRegisterOpts(g.registration(status), opts.WithContext(ctx))
	case g.r.HealthURL != "":
		_, _, err := agent.Service(g.r.ID, g.options(ctx))
		return err
	}
	return agent.UpdateTTLOpts(g.checkID(), why, status, g.options(ctx))
}

func (g *Registrar) options(ctx context.Context) *api.QueryOptions {
	o := &api.QueryOptions{Token: g.client.token()}
	return o.WithContext(ctx)
}

func (g *Registrar) checkID() string { return "sluice:" + g.r.ID }

func (g *Registrar) registration(status string) *api.AgentServiceRegistration {
	check := &api.AgentServiceCheck{
		CheckID:                        g.checkID(),
		Name:                           "sluice's readiness",
		Status:                         status,
		DeregisterCriticalServiceAfter: forgetAfter.String(),
	}
	if g.r.HealthURL != "" {
		check.HTTP, check.Interval, check.Timeout = g.r.HealthURL, beatInterval.String(), checkTimeout.String()
	} else {
		check.TTL = beatTTL.String()
	}
	var meta map[string]string
	if g.r.Balances != "" {
		meta = map[string]string{BalancesMeta: g.r.Balances}
	}
	return &api.AgentServiceRegistration{
		ID: g.r.ID, Name: g.r.Service, Address: cmp.Or(g.r.Address, localAddress(g.client.agents[g.at].address)), Port: g.r.Port, Tags: g.r.Tags, Meta: meta, Check: check,
	}
}

// well takes note that the agent knows the instance, since just now if news.
func (g *Registrar) well(news bool) {
	g.registered.Set(1)
	g.mu.Lock()
	news = news || g.trouble != ""
	g.trouble, g.since = "", time.Time{}
	g.mu.Unlock()
	if news {
		g.log.Info("registered in Consul", "address", g.r.Address, "port", g.r.Port)
	}
}

// failed takes note that the agent could not be told.
func (g *Registrar) failed(err error) {
	reason := explain(err)
	var status api.StatusError
	if errors.As(err, &status) && (status.Code == http.StatusForbidden || status.Code == http.StatusUnauthorized) {
		reason = "access denied: the ACL token is missing, unknown or lacks service:write for the service"
	}
	g.registered.Set(0)
	g.mu.Lock()
	news := g.trouble == ""
	if news {
		g.since = time.Now()
	}
	g.trouble = reason
	g.mu.Unlock()
	if news {
		g.log.Warn("cannot register in Consul; trying again", "reason", reason, "err", err)
	}
}

// isAnswer reports whether err is an agent's answer.
func isAnswer(err error) bool {
	var status api.StatusError
	return errors.As(err, &status)
}

// unknownToAgent reports whether err says that the agent knows no such service
// or check.
func unknownToAgent(err error) bool {
	var status api.StatusError
	if !errors.As(err, &status) {
		return false
	}
	return status.Code == http.StatusNotFound ||
		status.Code == http.StatusInternalServerError && strings.Contains(status.Body, "does not have associated TTL")
}

// LocalAddress returns this machine's address as the first agent sees it, or
// empty if that is on this machine, whose node's address is then the better one.
func (c *Client) LocalAddress() string { return localAddress(c.agents[0].address) }

// localAddress is LocalAddress of the agent at an address.
func localAddress(host string) string {
	if _, rest, ok := strings.Cut(host, "://"); ok {
		if strings.HasPrefix(host, "unix:") {
			return ""
		}
		host = rest
	}
	host, _, _ = strings.Cut(host, "/")
	conn, err := net.Dial("udp", host) // sends nothing
	if err != nil {
		return ""
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil || local.Addr().IsLoopback() {
		return ""
	}
	if remote, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil && remote.Addr() == local.Addr() {
		return ""
	}
	return local.Addr().Unmap().WithZone("").String()
}
