package config

import (
	"fmt"
	"slices"
	"strings"
)

// Failover is where the members of a service come from that are used when none
// of its own can serve, in this order: names of services, or else datacenters of
// Consul.
type Failover []string

func (f *Failover) set(value string) error {
	for to := range strings.SplitSeq(value, ",") {
		if err := serviceName(to); err != nil {
			return fmt.Errorf("failover=%q is no list of services or Consul datacenters such as dc2,dc3", value)
		}
		if slices.Contains(*f, to) {
			return fmt.Errorf("failover=%q has %s twice", value, to)
		}
		*f = append(*f, to)
	}
	return nil
}

func (f Failover) pairs() []pair { return []pair{{"failover", strings.Join(f, ",")}} }

// IsService reports whether name is that of a service of the configuration, and
// not of a datacenter.
func (c *Config) IsService(name string) bool {
	return c.HasService(name) || len(c.StaticBackends(name)) > 0 || slices.Contains(c.ServiceNames(), name)
}

// failsOver reports whether a service fails over to the named one.
func (c *Config) failsOver(to string) bool {
	return slices.ContainsFunc(c.Services, func(s Service) bool { return slices.Contains(s.Failover, to) })
}

// failovers checks where services fail over to.
func (v *validation) failovers() {
	for _, s := range v.c.Services {
		for _, to := range s.Failover {
			switch {
			case to == s.Name:
				v.add("service", "%q fails over to itself", s.Name)
			case v.c.IsService(to) && v.c.Service(to).speaks() != s.speaks():
				v.add("service", "%q fails over to %q and is spoken to otherwise: say the same proxy-out=, tls=, tls-ca= and tls-server-name= for both", s.Name, to)
			case !v.c.IsService(to) && v.c.Consul == "":
				v.add("service", "%q has failover=%s, which is neither a service here nor, without --consul, a datacenter", s.Name, to)
			}
		}
	}
}

// speech is how connections to the members of a service begin.
type speech struct {
	proxyOut        int
	tls, ca, server string
}

func (s Service) speaks() speech { return speech{s.ProxyOut, s.TLS, s.TLSCA, s.TLSServerName} }
