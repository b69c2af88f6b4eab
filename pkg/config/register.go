package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ParseRegister reads SERVICE[,key=value...].
func ParseRegister(spec string) (Register, error) {
	var r Register
	head, options, err := cutSpec(spec)
	if err != nil {
		return r, err
	}
	r.Service = head
	if err := apply(&r, options); err != nil {
		return r, err
	}
	return r, r.check()
}

func (r *Register) keys() []string { return []string{"service", "addr", "port", "id", "tag", "check"} }

func (r *Register) lists(key string) bool { return key == "tag" }

func (r *Register) set(key, value string) (err error) {
	switch key {
	case "service":
		r.Service = value
	case "addr":
		r.Addr = value
	case "port":
		r.Port, err = count(key, value)
	case "id":
		r.ID = value
	case "tag":
		r.Tags = append(r.Tags, value)
	case "check":
		r.Check = value
	}
	return err
}

func (r *Register) check() error {
	if err := serviceName(r.Service); err != nil {
		return err
	}
	if r.Port > 65535 {
		return fmt.Errorf("port=%d is above 65535", r.Port)
	}
	if strings.ContainsAny(r.Addr, " \t/=@") || strings.Contains(r.Addr, ":") && !isAddr(r.Addr) {
		return fmt.Errorf("addr=%s is neither an IP address nor a host name", r.Addr)
	}
	if strings.ContainsAny(r.ID, " \t/?#%") {
		return fmt.Errorf("id=%s has characters that no ID can have", r.ID)
	}
	if slices.Contains(r.Tags, "") {
		return fmt.Errorf("tag= is empty")
	}
	if r.Check != "" && r.Check != "ttl" && r.Check != "http" {
		return fmt.Errorf("unknown check %q; known are ttl and http", r.Check)
	}
	return nil
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// UnmarshalYAML reads the line of ParseRegister or a mapping with service and
// its keys.
func (r *Register) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, r, ParseRegister) }

// String returns the line that ParseRegister reads.
func (r Register) String() string {
	options := []pair{{"addr", r.Addr}, {"port", nonzero(r.Port)}, {"id", r.ID}}
	for _, t := range r.Tags {
		options = append(options, pair{"tag", t})
	}
	return line(r.Service, append(options, pair{"check", r.Check})...)
}

// MarshalText is String.
func (r Register) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
