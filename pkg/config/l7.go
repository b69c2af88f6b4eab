package config

import (
	"errors"
	"slices"

	"go.yaml.in/yaml/v3"
)

// ParseL7 reads ADDR and the keys of ConnLimits, ProxyIn, Certificate and HTTP.
func ParseL7(spec string) (L7, error) {
	var l L7
	head, options, err := cutSpec(spec)
	if err != nil {
		return l, err
	}
	l.Addr = anyHost(head)
	if err := apply(&l, options); err != nil {
		return l, err
	}
	return l, l.check()
}

func (l *L7) keys() []string {
	return slices.Concat([]string{"addr"}, l.ConnLimits.keys(), l.ProxyIn.keys(), l.Certificate.keys(), l.HTTP.keys(), l.HeaderEdits.keys(), l.AuthName.keys(), l.Heads.keys(), l.Waits.keys(), l.HTTPWaits.keys(), l.HTTP2.keys())
}

func (l *L7) lists(key string) bool { return l.ProxyIn.lists(key) || l.HeaderEdits.lists(key) }

func (l *L7) set(key, value string) (err error) {
	switch {
	case key == "addr":
		l.Addr = anyHost(value)
	case slices.Contains(l.ProxyIn.keys(), key):
		err = l.ProxyIn.set(key, value)
	case slices.Contains(l.Certificate.keys(), key):
		err = l.Certificate.set(key, value)
	case slices.Contains(l.HTTP.keys(), key):
		err = l.HTTP.set(key, value)
	case key == "auth":
		err = l.AuthName.set(key, value)
	case l.HeaderEdits.lists(key):
		err = l.HeaderEdits.set(key, value)
	case slices.Contains(l.Heads.keys(), key):
		err = l.Heads.set(key, value)
	case slices.Contains(l.Waits.keys(), key):
		err = l.Waits.set(key, value)
	case slices.Contains(l.HTTPWaits.keys(), key):
		err = l.HTTPWaits.set(key, value)
	case slices.Contains(l.HTTP2.keys(), key):
		err = l.HTTP2.set(key, value)
	default:
		err = l.ConnLimits.set(key, value)
	}
	return err
}

func (l *L7) check() error {
	if err := frontAddr(l.Addr); err != nil {
		return err
	}
	if err := l.ProxyIn.check(); err != nil {
		return err
	}
	if err := l.HTTP.check(); err != nil {
		return err
	}
	if l.Fleet && l.Rate == 0 && !l.eachClient() {
		return errors.New("fleet=true divides rate=, max-conns-per-client= and max-rate-per-client= among the sluices of the fleet, and there is none of them")
	}
	if err := l.Heads.check(); err != nil {
		return err
	}
	if err := l.HTTP2.check(l.Cert != ""); err != nil {
		return err
	}
	return l.Certificate.check()
}

// UnmarshalYAML reads the line of ParseL7 or a mapping with addr and its keys.
func (l *L7) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, l, ParseL7) }

// String returns the line that ParseL7 reads.
func (l L7) String() string {
	return line(l.Addr, slices.Concat(l.ConnLimits.pairs(), l.ProxyIn.pairs(), l.Certificate.pairs(), l.HTTP.pairs(), l.HeaderEdits.pairs(), l.AuthName.pairs(), l.Heads.pairs(), l.Waits.pairs(), l.HTTPWaits.pairs(), l.HTTP2.pairs())...)
}

// MarshalText is String.
func (l L7) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
