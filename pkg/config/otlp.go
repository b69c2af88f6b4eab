package config

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Percent is a number of percent, which may have a fraction.
type Percent float64

// ParsePercent reads a number from 0 to 100, with or without the sign.
func ParsePercent(s string) (Percent, error) {
	n, err := decimal(strings.TrimSuffix(s, "%"))
	if err != nil || !(n >= 0 && n <= 100) {
		return 0, fmt.Errorf("want a number of percent from 0 to 100, such as 0.5 or 50%%")
	}
	return Percent(n), nil
}

// UnmarshalYAML reads what ParsePercent reads.
func (p *Percent) UnmarshalYAML(n *yaml.Node) (err error) {
	if *p, err = ParsePercent(n.Value); err != nil {
		return yamlError(n, fmt.Errorf("%q: %w", n.Value, err))
	}
	return nil
}

func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'g', -1, 64) }

// tracesPath is where a collector takes spans, below the URL that it is known by.
const tracesPath = "/v1/traces"

// OTLPEndpoint returns the URL that spans are posted to: --otlp may be that itself,
// the URL of a collector, or its host and port.
func (c *Config) OTLPEndpoint() (string, error) {
	spec := c.OTLP
	if !strings.Contains(spec, "://") {
		spec = "http://" + spec
	}
	u, err := url.Parse(spec)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is no URL", c.OTLP)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("%q is neither http nor https: spans are sent as protobuf over HTTP", c.OTLP)
	case u.Hostname() == "":
		return "", fmt.Errorf("%q has no host; want the URL of a collector, such as http://127.0.0.1:4318", c.OTLP)
	case u.User != nil:
		return "", fmt.Errorf("a user and password in the URL would be shown; set OTEL_EXPORTER_OTLP_HEADERS instead")
	case u.Port() == "4317":
		return "", fmt.Errorf("%q is the port of OTLP over gRPC; that over HTTP has 4318", c.OTLP)
	}
	if u.Port() == "" && u.Scheme == "http" {
		u.Host += ":4318"
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	return u.String(), nil
}

// otlp checks what is said about tracing.
func (v *validation) otlp() {
	c := v.c
	if c.OTLP != "" {
		if _, err := c.OTLPEndpoint(); err != nil {
			v.add("otlp", "%v", err)
		}
	}
}
