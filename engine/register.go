package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
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
func (rs *registrars) start(c *config.Config, services *services, fronts *fronts, plane *plane) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range c.Registers {
		g := registrationOf(r, services.registry, fronts, plane)
		services.self.register(registered{g.ID, g.Address, g.Port}) // before anybody can see it
		rs.all = append(rs.all, services.registry.Register(g))
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

func registrationOf(r config.Register, registry *consul.Client, fronts *fronts, plane *plane) consul.Registration {
	g := consul.Registration{ID: r.ID, Service: r.Service, Address: r.Addr, Port: r.Port, Tags: r.Tags, Balances: fronts.balances(r)}
	if all := fronts.list(); len(all) > 0 { // else tags alone ask for listeners
		listener := all[0].listener.Addr()
		if g.Port == 0 {
			g.Port = portOf(listener)
		}
		if g.Address == "" {
			g.Address = addressOf(listener)
		}
	}
	if g.Address == "" {
		g.Address = registry.LocalAddress()
	}
	if g.ID == "" {
		host, err := os.Hostname()
		if err != nil || strings.ContainsAny(host, " /?#%") {
			host = "sluice"
		}
		g.ID = fmt.Sprintf("%s-%s-%d", r.Service, host, g.Port)
	}
	g.Ready = func() (bool, string) {
		if now := plane.ready(); !now.Ready {
			return false, strings.Join(now.Reasons, "; ")
		}
		return true, "ready"
	}
	if r.Check == "http" {
		for _, s := range plane.servers {
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

// close deregisters everything and returns when that is over.
func (rs *registrars) close() {
	rs.leave()
	rs.wg.Wait()
}
