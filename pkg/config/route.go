package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ParseRoute reads [HOST]/PATH=SERVICE, strip, and the keys of RouteOptions.
func ParseRoute(spec string) (Route, error) {
	var r Route
	head, options, err := cutSpec(spec)
	if err != nil {
		return r, err
	}
	eq := strings.LastIndexByte(head, '=') // a path may contain one
	slash := strings.IndexByte(head, '/')
	if eq < 0 || slash < 0 || slash > eq {
		return r, fmt.Errorf("want [HOST]/PATH=SERVICE[,key=value...], such as /=web or example.com/api=api")
	}
	r.Host, r.Path, r.Service = strings.ToLower(head[:slash]), head[slash:eq], head[eq+1:]
	if err := apply(&r, options); err != nil {
		return r, err
	}
	return r, r.check()
}

func (r *Route) keys() []string {
	return slices.Concat([]string{"host", "path", "service", "strip"}, r.RouteOptions.keys(), r.HeaderEdits.keys(), r.AuthName.keys(), r.Mirror.keys(), r.Waits.keys(), r.HTTPWaits.keys())
}

func (r *Route) set(key, value string) error {
	switch key {
	case "host":
		r.Host = strings.ToLower(value)
	case "path": // of a line it is how the path is forwarded
		if slices.Contains(pathForms(), value) {
			return r.RouteOptions.set("forward-path", value)
		}
		r.Path = value
	case "service":
		r.Service = value
	case "strip":
		r.Strip = value
	default:
		switch {
		case key == "auth":
			return r.AuthName.set(key, value)
		case slices.Contains(r.Mirror.keys(), key):
			return r.Mirror.set(key, value)
		case r.HeaderEdits.lists(key):
			return r.HeaderEdits.set(key, value)
		case slices.Contains(r.Waits.keys(), key):
			return r.Waits.set(key, value)
		case slices.Contains(r.HTTPWaits.keys(), key):
			return r.HTTPWaits.set(key, value)
		}
		return r.RouteOptions.set(key, value)
	}
	return nil
}

func (r *Route) check() error {
	host := r.Host
	if name, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port || name == "" {
			return fmt.Errorf("port %q of host %q is not a number from 1 to 65535, or the host is missing", port, host)
		}
		host = strings.TrimSuffix(host, ":"+port)
	}
	if name := strings.TrimPrefix(host, "*."); strings.ContainsFunc(name, notInHost) || host != "" && name == "" || strings.HasSuffix(name, ".") {
		return fmt.Errorf("host %q is not a host name, nor *. and one", r.Host)
	}
	if !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, " \t?#") {
		return fmt.Errorf("path %q is not a path that begins with /", r.Path)
	}
	if _, err := url.PathUnescape(r.Path); err != nil {
		return fmt.Errorf("path %q has a %% that begins no percent-encoding", r.Path)
	}
	for _, segment := range strings.Split(r.Path, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("path %q has a dot segment, which are resolved before a route is looked for", r.Path)
		}
	}
	if rest, ok := strings.CutPrefix(r.Path, r.Strip); !ok || r.Strip != "" && rest != "" && rest[0] != '/' && !strings.HasSuffix(r.Strip, "/") {
		return fmt.Errorf("strip %q is not a prefix of the path %q, by whole segments", r.Strip, r.Path)
	}
	if err := r.RouteOptions.check(); err != nil {
		return err
	}
	if err := r.Mirror.check(); err != nil {
		return err
	}
	if r.Redirect.Code != 0 {
		if r.Service != "" {
			return fmt.Errorf("a route with redirect= leads to no service; leave it away behind %s%s=", r.Host, r.Path)
		}
		if r.Waits != (Waits{}) || r.HTTPWaits != (HTTPWaits{}) {
			return fmt.Errorf("a route with redirect= forwards nothing; limits of time, pace and retries are of no use")
		}
		if r.Mirror.To != "" {
			return fmt.Errorf("a route with redirect= forwards nothing; mirror= is of no use")
		}
		if r.Auth != "" {
			return fmt.Errorf("a route with redirect= forwards nothing; auth= is of no use")
		}
		if len(r.RequestHeaders) > 0 {
			return fmt.Errorf("a route with redirect= forwards nothing; request-header= is of no use")
		}
		return nil
	}
	return serviceName(r.Service)
}

// notInHost reports whether r is in no host name and no IPv6 address.
func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_[]:", r)
}

func (r *Route) lists(key string) bool {
	return r.RouteOptions.lists(key) || r.HeaderEdits.lists(key)
}

// UnmarshalYAML reads the line of ParseRoute or a mapping with host, path,
// service and its keys.
func (r *Route) UnmarshalYAML(n *yaml.Node) error { return unmarshal(n, r, ParseRoute) }

// String returns the line that ParseRoute reads.
func (r Route) String() string {
	return line(r.Host+r.Path+"="+r.Service, slices.Concat([]pair{{"strip", r.Strip}}, r.RouteOptions.pairs(), r.HeaderEdits.pairs(), r.AuthName.pairs(), r.Mirror.pairs(), r.Waits.pairs(), r.HTTPWaits.pairs())...)
}

// MarshalText is String.
func (r Route) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
