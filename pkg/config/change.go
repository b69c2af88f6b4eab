package config

import (
	"fmt"
	"slices"
	"strings"
)

// Set sets one key of a service as its line does, and checks the whole.
func (s *Service) Set(key, value string) error {
	if err := apply(s, []pair{{key, value}}); err != nil {
		return err
	}
	return s.check()
}

// Key tells the route from all others: its host and path and, if only some
// requests are meant, their methods and headers as its line has them.
func (r Route) Key() string {
	key := r.Host + spelled(r.Path)
	for _, p := range r.RouteOptions.pairs() {
		if p.key == "method" || p.key == "header" {
			key += "," + p.key + "=" + p.value
		}
	}
	return key
}

// Key tells the listener, or the part of one, from all others: its address
// and, if there is one, the name that TLS clients ask for.
func (l L4) Key() string {
	if l.SNI != "" {
		return l.Addr + ",sni=" + l.SNI
	}
	return l.Addr
}

// ParseMember reads what follows the address of a backend's line: nothing, or
// weight=N,zone=Z,priority=N, and returns the backend of that service and
// address.
func ParseMember(service, addr, options string) (Backend, error) {
	spec := line(service + "=" + addr)
	if options = strings.Trim(options, ", "); options != "" {
		spec += "," + options
	}
	b, err := ParseBackend(spec)
	if err == nil && (b.Service != service || b.Addr != addr) {
		err = fmt.Errorf("options %q name another service or address", options)
	}
	return b, err
}

// Options returns what follows the address in the backend's line.
func (b Backend) Options() string {
	_, options, _ := strings.Cut(b.String(), ",")
	return options
}

// LogLevels returns the names of the levels of the log.
func LogLevels() []string { return []string{"debug", "info", "warn", "error"} }

// ServiceNamed returns where the settings of the named service are in c, and
// appends some if there are none.
func (c *Config) ServiceNamed(name string) *Service {
	i := slices.IndexFunc(c.Services, func(s Service) bool { return s.Name == name })
	if i < 0 {
		c.Services = append(c.Services, Service{Name: name})
		i = len(c.Services) - 1
	}
	return &c.Services[i]
}
