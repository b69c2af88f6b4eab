package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/discovery/consul"
	"sluice/pkg/config"
)

// deregisterTimeout bounds how long Consul may take to let go of us.
const deregisterTimeout = 3 * time.Second

// registrars keep this process registered. All methods are safe for concurrent
// use.
type registrars struct {
	logger *slog.Logger
	once   sync.Once // guards the end
	wg     sync.WaitGroup

	// mu protects the field below.
	mu  sync.Mutex
	all []*consul.Registrar
}

// start registers what is configured.
func (rs *registrars) start(e *Engine) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range e.services.config.Load().Registers {
		g := e.registration(r)
		e.services.self.register(registered{g.ID, g.Address, g.Port}) // before anybody can see it
		rs.all = append(rs.all, e.services.registry.Register(g))
	}
}

func (rs *registrars) list() []*consul.Registrar {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.all
}

// troubles returns why this process is not registered, in words.
func (rs *registrars) troubles() (all []string) {
	for _, r := range rs.list() {
		if why, since := r.Trouble(); why != "" {
			all = append(all, fmt.Sprintf("cannot keep %s registered in Consul, so that clients may not find this sluice: %s, since %s",
				r.Service(), why, since.UTC().Format(time.RFC3339)))
		}
	}
	return all
}

// registration returns what Consul is told of this process as r says.
func (e *Engine) registration(r config.Register) consul.Registration {
	g := consul.Registration{ID: r.ID, Service: r.Service, Address: r.Addr, Port: r.Port, Tags: r.Tags, Balances: e.balances(r)}
	if all := e.fronts.list(); len(all) > 0 { // else tags alone ask for listeners
		listener := all[0].listener.Addr()
		if g.Port == 0 {
			g.Port = portOf(listener)
		}
		if g.Address == "" {
			g.Address = addressOf(listener)
		}
	}
	if g.Address == "" {
		g.Address = e.services.registry.LocalAddress()
	}
	if g.ID == "" {
		host, err := os.Hostname()
		if err != nil || strings.ContainsAny(host, " /?#%") {
			host = "sluice"
		}
		g.ID = fmt.Sprintf("%s-%s-%d", r.Service, host, g.Port)
	}
	g.Ready = func() (bool, string) {
		if now := e.plane.ready(); !now.Ready {
			return false, strings.Join(now.Reasons, "; ")
		}
		return true, "ready"
	}
	if r.Check == "http" {
		for _, s := range e.plane.servers {
			if s.name != "health" {
				continue
			}
			host := addressOf(s.server.Addr())
			if host == "" {
				host = g.Address
			}
			if host == "" {
				host = "127.0.0.1" // where the agent is
			}
			g.HealthURL = "http://" + net.JoinHostPort(host, strconv.Itoa(portOf(s.server.Addr()))) + "/readyz"
		}
	}
	return g
}

// balances returns what a sluice says of itself where it registers r: whether
// connections to it are led to that same service in Consul, and whether to
// whatever asks for it by tags. Two that find each other there and did not know
// would hand connections to and fro until something breaks.
func (e *Engine) balances(r config.Register) string {
	c, fronts := e.services.config.Load(), e.fronts.list()
	at := func(f *front) bool { return r.Port == 0 || portOf(f.listener.Addr()) == r.Port }
	if !slices.ContainsFunc(fronts, at) {
		at = func(*front) bool { return true } // something in between has that port
	}
	var names []string
	for _, name := range c.ServiceNames() {
		if leadsToConsul(c, name, r.Service) && slices.ContainsFunc(fronts, func(f *front) bool { return at(f) && e.fronts.leads(f, name) }) {
			names = append(names, r.Service)
			break
		}
	}
	if c.ConsulTags != "" && !strings.Contains(c.ConsulTags, " ") && slices.ContainsFunc(fronts, func(f *front) bool { return at(f) && f.kind == "l7" }) {
		names = append(names, byTagsOf(c.ConsulTags))
	}
	return strings.Join(names, " ")
}

// addressOf returns the address that a listener is bound to, empty if it is
// bound to all of them.
func addressOf(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil || ap.Addr().IsUnspecified() {
		return ""
	}
	return ap.Addr().String()
}

func portOf(a net.Addr) int {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return 0
	}
	return int(ap.Port())
}

// leave begins to deregister everything, the first time it is called.
func (rs *registrars) leave() {
	rs.once.Do(func() {
		for _, r := range rs.list() {
			rs.wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), deregisterTimeout)
				defer cancel()
				if err := r.Deregister(ctx); err != nil {
					rs.logger.Warn("Consul did not let go; it will notice that the check fails", "err", err)
				}
			})
		}
	})
}

// abandon leaves everything registered, for the process that comes next.
func (rs *registrars) abandon() {
	rs.once.Do(func() {
		for _, r := range rs.list() {
			r.Abandon()
		}
	})
}

// close deregisters everything, unless it was abandoned, and returns when that is over.
func (rs *registrars) close() {
	rs.leave()
	rs.wg.Wait()
}
