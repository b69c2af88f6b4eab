package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/pkg/clienthello"
	"sluice/pkg/proxyproto"
)

func (c *ConnLimits) keys() []string {
	return []string{"max-conns", "max-conns-per-client", "max-rate-per-client", "fleet"}
}

func (c *ConnLimits) set(key, value string) (err error) {
	switch key {
	case "max-conns":
		c.MaxConns, err = count(key, value)
	case "max-conns-per-client":
		c.MaxConnsPerClient, err = count(key, value)
	case "max-rate-per-client":
		c.MaxRatePerClient, err = count(key, value)
	case "fleet":
		c.Fleet, err = boolean(key, value)
	}
	return err
}

func (c *ConnLimits) pairs() []pair {
	pairs := []pair{
		{"max-conns", nonzero(c.MaxConns)},
		{"max-conns-per-client", nonzero(c.MaxConnsPerClient)},
		{"max-rate-per-client", nonzero(c.MaxRatePerClient)},
	}
	if c.Fleet {
		pairs = append(pairs, pair{"fleet", "true"})
	}
	return pairs
}

// ParseL4 reads ADDR=SERVICE, sni, and the keys of ConnLimits, ProxyIn,
// Certificate and Hello.
func ParseL4(spec string) (L4, error) {
	var l L4
	head, options, err := cutSpec(spec)
	if err != nil {
		return l, err
	}
	addr, service, ok := strings.Cut(head, "=")
	if !ok {
		return l, fmt.Errorf("want ADDR=SERVICE[,key=value...], such as :5432=postgres")
	}
	l.Addr, l.Service = anyHost(addr), service
	if err := apply(&l, options); err != nil {
		return l, err
	}
	return l, l.check()
}

func (l *L4) keys() []string {
	return slices.Concat([]string{"addr", "service", "sni"}, l.ConnLimits.keys(), l.ProxyIn.keys(), l.Certificate.keys(), l.Hello.keys(), l.Waits.keys(), l.TCPWaits.keys())
}

func (l *L4) lists(key string) bool { return l.ProxyIn.lists(key) || l.Hello.lists(key) }

func (l *L4) set(key, value string) (err error) {
	switch {
	case key == "addr":
		l.Addr = anyHost(value)
	case key == "service":
		l.Service = value
	case key == "sni":
		l.SNI, err = clienthello.ParsePattern(value)
	case slices.Contains(l.ProxyIn.keys(), key):
		err = l.ProxyIn.set(key, value)
	case slices.Contains(l.Certificate.keys(), key):
		err = l.Certificate.set(key, value)
	case slices.Contains(l.Waits.keys(), key):
		err = l.Waits.set(key, value)
	case slices.Contains(l.TCPWaits.keys(), key):
		err = l.TCPWaits.set(key, value)
	case slices.Contains(l.Hello.keys(), key):
		err = l.Hello.set(key, value)
	default:
		err = l.ConnLimits.set(key, value)
	}
	return err
}

func (l *L4) check() error {
	if err := frontAddr(l.Addr); err != nil {
		return err
	}
	if err := l.ProxyIn.check(); err != nil {
		return err
	}
	if err := l.Certificate.check(); err != nil {
		return err
	}
	if err := l.Hello.check(l.Certificate); err != nil {
		return err
	}
	return serviceName(l.Service)
}

func (p *ProxyIn) keys() []string { return []string{"proxy-in", "proxy-from"} }

func (p *ProxyIn) lists(key string) bool { return key == "proxy-from" }

func (p *ProxyIn) set(key, value string) (err error) {
	switch key {
	case "proxy-in":
		p.Versions, err = proxyproto.ParseVersions(value)
	case "proxy-from":
		var n CIDR
		if n, err = ParseCIDR(value); err == nil {
			p.From = append(p.From, n)
		} else {
			err = fmt.Errorf("proxy-from=%q: %w", value, err)
		}
	}
	return err
}

func (p *ProxyIn) check() error {
	if len(p.From) > 0 && p.Versions == 0 {
		return fmt.Errorf("proxy-from=%s needs proxy-in=v1, v2 or v1v2", p.From[0])
	}
	return nil
}

func (p *ProxyIn) pairs() []pair {
	var pairs []pair
	if p.Versions != 0 {
		pairs = append(pairs, pair{"proxy-in", p.Versions.String()})
	}
	for _, n := range p.From {
		pairs = append(pairs, pair{"proxy-from", n.String()})
	}
	return pairs
}

func (c *Certificate) keys() []string {
	return []string{"tls-cert", "tls-key", "client-ca", "client-cert"}
}

func (c *Certificate) set(key, value string) error {
	switch key {
	case "tls-cert":
		c.Cert = value
	case "tls-key":
		c.Key = value
	case "client-ca":
		c.ClientCA = value
	case "client-cert":
		if c.ClientCert = value; value != "required" && value != "optional" {
			return fmt.Errorf("client-cert=%q is neither required nor optional", value)
		}
	}
	return nil
}

func (c *Certificate) check() error {
	if c.Key != "" && c.Cert == "" {
		return fmt.Errorf("tls-key=%s needs tls-cert=", c.Key)
	}
	if c.ClientCA != "" && c.Cert == "" {
		return fmt.Errorf("client-ca=%s needs tls-cert=", c.ClientCA)
	}
	if c.ClientCert != "" && c.ClientCA == "" {
		return fmt.Errorf("client-cert=%s needs client-ca=", c.ClientCert)
	}
	return nil
}

func (c *Certificate) pairs() []pair {
	return []pair{{"tls-cert", c.Cert}, {"tls-key", c.Key}, {"client-ca", c.ClientCA}, {"client-cert", c.ClientCert}}
}

// UnmarshalYAML reads the line of ParseL4 or a mapping with addr, service and
// its keys.
func (l *L4) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, l, ParseL4) }

// String returns the line that ParseL4 reads.
func (l L4) String() string {
	return line(l.Addr+"="+l.Service, slices.Concat([]pair{{"sni", l.SNI}}, l.ConnLimits.pairs(), l.ProxyIn.pairs(), l.Certificate.pairs(), l.Hello.pairs(), l.Waits.pairs(), l.TCPWaits.pairs())...)
}

// MarshalText is String.
func (l L4) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
