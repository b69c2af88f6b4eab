package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Prices are what a task and its traffic cost, and how large the task is.
type Prices struct {
	Currency string
	VCPUHour float64 // of one vCPU for an hour
	GBHour   float64 // of a GB of memory for an hour
	GBOut    float64 // of a GB sent to clients
	GBZone   float64 // of a GB across zones
	VCPUs    float64 // of this task; 0: what ECS or the system say
	MemoryGB float64 // the same
	Date     string  // of the prices
}

// DefaultPrices are list prices of AWS Fargate (Linux, x86, us-east-1).
func DefaultPrices() Prices {
	return Prices{Currency: "USD", VCPUHour: 0.04048, GBHour: 0.004445, GBOut: 0.09, GBZone: 0.01, Date: "2025-01"}
}

func pricesKeys() []string {
	return []string{"currency", "vcpu-hour", "gb-hour", "gb-out", "gb-zone", "vcpus", "memory-gb", "date"}
}

// ParsePrices reads key=value[,key=value...] over the defaults.
func ParsePrices(spec string) (Prices, error) {
	p := DefaultPrices()
	if strings.TrimSpace(spec) == "" {
		return p, nil
	}
	for _, option := range strings.Split(spec, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(option), "=")
		if !ok || !slices.Contains(pricesKeys(), key) {
			return p, fmt.Errorf("unknown key %q; known are %s", key, strings.Join(pricesKeys(), ", "))
		}
		numbers := map[string]*float64{"vcpu-hour": &p.VCPUHour, "gb-hour": &p.GBHour, "gb-out": &p.GBOut, "gb-zone": &p.GBZone, "vcpus": &p.VCPUs, "memory-gb": &p.MemoryGB}
		switch n := numbers[key]; {
		case n != nil:
			v, err := decimal(value)
			if err != nil || v > 1e6 {
				return p, fmt.Errorf("%s=%q is not a number from 0 up", key, value)
			}
			*n = v
		case value == "" || len(value) > 32:
			return p, fmt.Errorf("%s=%q is empty or too long", key, value)
		case key == "currency":
			p.Currency = value
		default:
			p.Date = value
		}
	}
	return p, nil
}

// String returns what ParsePrices reads.
func (p Prices) String() string {
	parts := []string{
		"currency=" + p.Currency, "vcpu-hour=" + price(p.VCPUHour), "gb-hour=" + price(p.GBHour), "gb-out=" + price(p.GBOut), "gb-zone=" + price(p.GBZone),
	}
	if p.VCPUs > 0 {
		parts = append(parts, "vcpus="+price(p.VCPUs))
	}
	if p.MemoryGB > 0 {
		parts = append(parts, "memory-gb="+price(p.MemoryGB))
	}
	return strings.Join(append(parts, "date="+p.Date), ",")
}

func price(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Set is ParsePrices, for flags.
func (p *Prices) Set(spec string) (err error) {
	*p, err = ParsePrices(spec)
	return err
}

// Type names what the flag takes.
func (p *Prices) Type() string { return "KEY=VALUE[,...]" }

// UnmarshalYAML reads the line of ParsePrices.
func (p *Prices) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParsePrices(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return yamlError(n, fmt.Errorf("prices: want KEY=VALUE[,...]: %v", err))
	}
	*p = v
	return nil
}

// MarshalText is String.
func (p Prices) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
