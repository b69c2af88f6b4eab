package config

import (
	"fmt"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

// DNSServer is the address of a DNS server, host:port.
type DNSServer string

// ParseDNSServer reads IP[:PORT]; the port is 53 if it is not given.
func ParseDNSServer(s string) (DNSServer, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return DNSServer(netip.AddrPortFrom(a, 53).String()), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return "", fmt.Errorf("want the address of a DNS server, IP or IP:PORT")
	}
	return DNSServer(ap.String()), nil
}

// UnmarshalYAML reads what ParseDNSServer reads.
func (d *DNSServer) UnmarshalYAML(n *yaml.Node) (err error) {
	if *d, err = ParseDNSServer(n.Value); err != nil {
		return yamlError(n, fmt.Errorf("%q: %w", n.Value, err))
	}
	return nil
}

// CIDR is a network.
type CIDR struct{ netip.Prefix }

// ParseCIDR reads a network such as 10.0.0.0/8, or a single address.
func ParseCIDR(s string) (CIDR, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return CIDR{p.Masked()}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return CIDR{}, fmt.Errorf("want a network such as 10.0.0.0/8 or an address")
	}
	return CIDR{netip.PrefixFrom(a, a.BitLen())}, nil
}

// UnmarshalYAML reads what ParseCIDR reads.
func (c *CIDR) UnmarshalYAML(n *yaml.Node) (err error) {
	if *c, err = ParseCIDR(n.Value); err != nil {
		return yamlError(n, fmt.Errorf("%q: %w", n.Value, err))
	}
	return nil
}

// MarshalText returns the network.
func (c CIDR) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
