package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/discovery"
	"sluice/pkg/backend"
	"sluice/pkg/health"
)

// entry is one entry of the list, as a mapping.
type entry struct {
	Addr     string   `yaml:"addr"`
	ID       string   `yaml:"id"`     // empty: Addr
	Weight   *int     `yaml:"weight"` // nil: 1
	Priority int      `yaml:"priority"`
	Zone     string   `yaml:"zone"`
	Status   string   `yaml:"status"` // of backend.Status; empty: passing
	Tags     []string `yaml:"tags"`
	Check    string   `yaml:"check"`
	Protocol string   `yaml:"protocol"`
}

// UnmarshalYAML reads an address or a mapping.
func (e *entry) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		e.Addr = n.Value
		return nil
	}
	type plain entry
	// Decoding a node forgets that unknown keys are errors.
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			switch n.Content[i].Value {
			case "addr", "id", "weight", "priority", "zone", "status", "tags", "check", "protocol":
			default:
				return fmt.Errorf("line %d: unknown key %q", n.Content[i].Line, n.Content[i].Value)
			}
		}
	}
	return n.Decode((*plain)(e))
}

// parse reads the content of a file. One bad entry makes all of it bad: who
// wrote it meant something else.
func parse(data []byte) ([]discovery.Member, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty; an empty list is written as []")
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var entries []*entry
	if err := d.Decode(&entries); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it has no list; an empty one is written as []")
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one list")
	}
	if entries == nil {
		return nil, errors.New("it has no list; an empty one is written as []")
	}
	members := []discovery.Member{}
	seen := make(map[string]bool)
	for i, e := range entries {
		if e == nil {
			return nil, fmt.Errorf("entry %d: it is nothing", i+1)
		}
		m, err := e.member()
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		if seen[m.ID] {
			return nil, fmt.Errorf("entry %d: %q is listed twice", i+1, m.ID)
		}
		seen[m.ID] = true
		members = append(members, m)
	}
	return members, nil
}

func (e *entry) member() (discovery.Member, error) {
	m := discovery.Member{
		Target:   backend.Target{ID: e.ID, Address: e.Addr, Weight: 1, Zone: e.Zone, Priority: e.Priority},
		Tags:     e.Tags,
		Check:    e.Check,
		Protocol: e.Protocol,
	}
	if m.ID == "" {
		m.ID = e.Addr
	}
	host, port, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return m, fmt.Errorf("address %q is not HOST:PORT", e.Addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return m, fmt.Errorf("port %q of %q is not a number from 1 to 65535", port, e.Addr)
	}
	if ip, err := netip.ParseAddr(host); host == "" || strings.ContainsAny(host, " \t/=@") || err == nil && ip.IsUnspecified() {
		return m, fmt.Errorf("host %q of %q is not a host", host, e.Addr)
	}
	if e.Weight != nil {
		m.Weight = *e.Weight
	}
	if m.Weight < 0 || m.Weight > backend.MaxWeight {
		return m, fmt.Errorf("weight %d is not within 0 and %d", m.Weight, backend.MaxWeight)
	}
	if e.Priority < 0 || e.Priority > backend.MaxPriority {
		return m, fmt.Errorf("priority %d is not within 0 and %d", e.Priority, backend.MaxPriority)
	}
	if _, ok := backend.ParseProtocol(e.Protocol); !ok && e.Protocol != "tcp" {
		return m, fmt.Errorf("protocol %q is not known; known are tcp, %s", e.Protocol, backend.Protocols)
	}
	if e.Check != "" {
		if _, err := health.ParseCheck(e.Check, health.Via{}); err != nil {
			return m, err
		}
	}
	for _, s := range []backend.Status{backend.Passing, backend.Warning, backend.Critical, backend.Maintenance} {
		if e.Status == s.String() || e.Status == "" {
			m.Status = s
			return m, nil
		}
	}
	return m, fmt.Errorf("status %q is not known; known are passing, warning, critical and maintenance", e.Status)
}
