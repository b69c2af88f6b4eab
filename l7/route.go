package l7

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/pkg/balance"
	"sluice/pkg/limit"
)

// Route sends the requests for a host and below a path to a service.
type Route struct {
	// Host is the host that a request must name: in lower case, without a
	// port. It is compared exactly; empty means any host.
	Host string
	// Path is the prefix that the request's path must have; it begins with
	// "/". It matches at the boundaries of path segments: "/api" matches
	// "/api", "/api/" and "/api/x" but not "/apix", and "/api/" matches
	// "/api/" and what is below it.
	Path string
	// Strip is removed from the front of the path before the request is
	// forwarded; what is left begins with "/" again. Path must begin with it.
	// Empty means that the path is forwarded as it came.
	Strip string
	// Balancer picks the backend; its pool's name is the service's.
	Balancer *balance.Balancer
	// RetryBudget is asked before a request is tried again; routes with the
	// same balancer share the first one's. nil means a budget of a fifth, and
	// at least 10 a second.
	RetryBudget *limit.Budget
}

// router finds the route of a request. It never changes once built.
type router struct {
	byHost map[string][]route // "" is any host; the longest path comes first
}

type route struct {
	path, strip string
	service     *service
}

// newRouter builds a router, with the services that serviceOf makes of the
// routes' balancers.
func newRouter(routes []Route, serviceOf func(*Route) *service) (*router, error) {
	r := &router{byHost: make(map[string][]route)}
	var errs []error
	for _, rt := range routes {
		if err := rt.validate(); err != nil {
			errs = append(errs, fmt.Errorf("cannot use route %q: %w", rt.Host+rt.Path, err))
			continue
		}
		same := func(other route) bool { return other.path == rt.Path }
		if slices.ContainsFunc(r.byHost[rt.Host], same) {
			errs = append(errs, fmt.Errorf("cannot use route %q: there are two of it", rt.Host+rt.Path))
			continue
		}
		r.byHost[rt.Host] = append(r.byHost[rt.Host], route{path: rt.Path, strip: rt.Strip, service: serviceOf(&rt)})
	}
	for _, list := range r.byHost {
		slices.SortFunc(list, func(a, b route) int { return cmp.Compare(len(b.path), len(a.path)) })
	}
	return r, errors.Join(errs...)
}

func (rt *Route) validate() error {
	switch {
	case rt.Balancer == nil:
		return errors.New("it has no balancer")
	case !strings.HasPrefix(rt.Path, "/"):
		return errors.New("its path does not begin with /")
	case strings.ContainsAny(rt.Path, "?# ") || hasDotSegment([]byte(rt.Path)):
		return errors.New("no path of a request can begin with its path")
	case rt.Strip != "" && !hasPathPrefix([]byte(rt.Path), rt.Strip):
		return fmt.Errorf("its path does not begin with what is to be stripped, %q", rt.Strip)
	case rt.Host == "":
		return nil
	case rt.Host != strings.ToLower(rt.Host) || strings.Contains(rt.Host, ":") && rt.Host[0] != '[' || !validHost([]byte(rt.Host)):
		return errors.New("its host is not a lower-case name without a port")
	}
	return nil
}

// match returns the route of a request: among those of its host, or else
// among those of any host, the one with the longest path. It returns nil if
// there is none.
func (r *router) match(host, path []byte) *route {
	if string(path) == "*" {
		path = []byte("/")
	}
	var buf [64]byte
	name, _ := splitHost(host)
	if len(name) > 0 {
		lower := append(buf[:0], name...)
		for i, c := range lower {
			if 'A' <= c && c <= 'Z' {
				lower[i] = c | 0x20
			}
		}
		lower = bytes.TrimSuffix(lower, []byte(".")) // the root's own dot
		if rt := longest(r.byHost[string(lower)], path); rt != nil && len(lower) > 0 {
			return rt
		}
	}
	return longest(r.byHost[""], path)
}

func longest(routes []route, path []byte) *route {
	for i := range routes {
		if hasPathPrefix(path, routes[i].path) {
			return &routes[i]
		}
	}
	return nil
}

// hasPathPrefix reports whether path begins with prefix and the prefix ends
// where a segment does.
func hasPathPrefix(path []byte, prefix string) bool {
	if len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return false
	}
	return len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/'
}

// forwarded returns the target to forward for a request of this route.
func (rt *route) forwarded(target []byte) []byte {
	if rt.strip == "" || string(target) == "*" {
		return target
	}
	rest := target[len(rt.strip):]
	if len(rest) == 0 || rest[0] != '/' {
		return append([]byte("/"), rest...)
	}
	return rest
}
