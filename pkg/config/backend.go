package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ParseBackend reads SERVICE=HOST:PORT[,weight=N,zone=Z].
func ParseBackend(spec string) (Backend, error) {
	b := Backend{Weight: 1}
	head, options, err := cutSpec(spec)
	if err != nil {
		return b, err
	}
	service, addr, ok := strings.Cut(head, "=")
	if !ok {
		return b, fmt.Errorf("want SERVICE=HOST:PORT[,weight=N,zone=Z], such as web=10.0.0.1:80")
	}
	b.Service, b.Addr = service, addr
	if err := apply(&b, options); err != nil {
		return b, err
	}
	return b, b.check()
}

func (b *Backend) keys() []string { return []string{"service", "addr", "weight", "zone", "priority"} }

func (b *Backend) set(key, value string) (err error) {
	switch key {
	case "service":
		b.Service = value
	case "addr":
		b.Addr = value
	case "weight":
		b.Weight, err = count(key, value)
	case "zone":
		b.Zone = value
	case "priority":
		b.Priority, err = count(key, value)
	}
	return err
}

func (b *Backend) check() error {
	if err := serviceName(b.Service); err != nil {
		return err
	}
	if b.Weight > 65535 {
		return fmt.Errorf("weight %d is above 65535", b.Weight)
	}
	if b.Priority > 65535 {
		return fmt.Errorf("priority %d is above 65535", b.Priority)
	}
	host, port, err := net.SplitHostPort(b.Addr)
	if err != nil {
		return fmt.Errorf("address %q is not HOST:PORT", b.Addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q of %q is not a number from 1 to 65535", port, b.Addr)
	}
	if host == "" || strings.ContainsAny(host, " \t/=@") {
		return fmt.Errorf("host %q of %q is not a host", host, b.Addr)
	}
	return nil
}

// UnmarshalYAML reads the line of ParseBackend or a mapping with service,
// addr and its keys.
func (b *Backend) UnmarshalYAML(n *yaml.Node) error {
	b.Weight = 1
	return unmarshal(n, b, ParseBackend)
}

// String returns the line that ParseBackend reads.
func (b Backend) String() string {
	weight := strconv.Itoa(b.Weight)
	if b.Weight == 1 {
		weight = ""
	}
	return line(b.Service+"="+b.Addr, pair{"weight", weight}, pair{"zone", b.Zone}, pair{"priority", nonzero(b.Priority)})
}

// MarshalText is String.
func (b Backend) MarshalText() ([]byte, error) { return []byte(b.String()), nil }
