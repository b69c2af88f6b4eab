package control

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Kind is what kind of thing a change is of.
type Kind string

// The kinds of targets.
const (
	OfService  Kind = "service"
	OfBackend  Kind = "backend"
	OfRoute    Kind = "route"
	OfListener Kind = "listener"
	OfProcess  Kind = "process"
)

// Target is the one thing that a change is of. It is comparable.
type Target struct {
	Kind Kind
	// Service is the name of the service, of a backend the one that it is of.
	Service string
	// Name is the address of a backend or listener as ParseAddress returns it,
	// of a part of a listener with ",sni=" and its name behind it; or a route's
	// as config.Route.Key returns it.
	Name string
}

// Service returns a service as a target.
func Service(name string) Target { return Target{Kind: OfService, Service: name} }

// Backend returns a backend as a target.
func Backend(service, address string) Target {
	return Target{Kind: OfBackend, Service: service, Name: address}
}

// Route returns a route as a target.
func Route(key string) Target { return Target{Kind: OfRoute, Name: key} }

// Listener returns a listener as a target.
func Listener(name string) Target { return Target{Kind: OfListener, Name: name} }

// Process returns the process as a target.
func Process() Target { return Target{Kind: OfProcess} }

// String returns t in words that a log line can have.
func (t Target) String() string {
	return strings.TrimSpace(strings.Join(strings.Fields(string(t.Kind)+" "+t.Service+" "+t.Name), " "))
}

// ParseAddress returns the canonical form, HOST:PORT, of the address of a
// backend, which may come as a URL without a path, user or query: the port of
// http:// is then 80 unless it is given, and that of https:// 443. Host names
// and IPv6 are fine; names become lower case.
func ParseAddress(s string) (string, error) {
	hostport := s
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "":
			return "", fmt.Errorf("%q is not SCHEME://HOST:PORT", s)
		case scheme != "http" && scheme != "https" && scheme != "tcp":
			return "", fmt.Errorf("%q has a scheme other than http, https and tcp", s)
		}
		hostport = strings.TrimRight(rest, "/")
		if u.Port() == "" {
			port := map[string]string{"http": "80", "https": "443"}[scheme]
			hostport = net.JoinHostPort(u.Hostname(), port)
		}
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", fmt.Errorf("%q is not HOST:PORT", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("port %q of %q is not a number from 1 to 65535", port, s)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), uint16(n)).String(), nil
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, notInName) || strings.Trim(host, "0123456789.") == "" {
		return "", fmt.Errorf("host %q of %q is not a host", host, s)
	}
	return net.JoinHostPort(strings.ToLower(host), strconv.FormatUint(n, 10)), nil
}

// canBeAdded returns why an address, in canonical form, is none of a host that could
// be a backend. A source may list such ones all the same, and they can be changed.
func canBeAdded(address string) error {
	host, _, _ := net.SplitHostPort(address) // it is in canonical form
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("%s is not the address of a host", host)
		}
		return nil
	}
	if !hasLabels(host) {
		return fmt.Errorf("%q is not a host's name", host)
	}
	return nil
}

// hasLabels reports whether a name is made of labels with something in them, none of
// which begins or ends with a dash (RFC 1123 2.1).
func hasLabels(name string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}
