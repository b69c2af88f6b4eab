package gate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/http1"
	"sluice/pkg/headeredit"
)

// router finds the route of a request. It never changes once built.
type router struct {
	exact    map[string]*paths
	wildcard map[string]*paths // by what follows the asterisk
	ported   bool              // some of those names end in a port
	any      *paths
}

// paths are the routes of one host.
type paths struct {
	lengths []int               // of all paths, the longest first
	routes  map[string][]*route // by path, those with most conditions first
}

type route struct {
	name     string // host and path
	path     string
	requests [6]*metrics.Counter // by statusClass
	seconds  *metrics.PrometheusHistogram
	methods  []string
	headers  []HeaderMatch
	allow    []netip.Prefix
	deny     []netip.Prefix
	redirect *redirect
	form     PathForm
	strip    string
	prepend  string
	host     string
	service  *Service
	canary   canary
	mirror   mirroring
	waits    Waits
	hints    Toggle

	auth *Auth
	open bool // whatever the listener says

	requestHeaders, responseHeaders headeredit.Edits
}

// newRouter builds a router, with the services that serviceOf makes of the
// routes' balancers. The error names every route that cannot be used.
func newRouter(routes []Route, serviceOf func(*Route) *Service) (*router, error) {
	r := &router{exact: make(map[string]*paths), wildcard: make(map[string]*paths), any: newPaths()}
	var errs []error
	for i := range routes {
		rt := &routes[i]
		err := rt.validate()
		if err == nil && slices.ContainsFunc(routes[:i], rt.same) {
			err = errors.New("there are two of it")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot use route %q: %w", rt.Host+rt.Path, err))
			continue
		}
		r.pathsOf(rt.Host).add(rt.build(serviceOf))
	}
	for _, ps := range r.exact {
		ps.sort()
	}
	for _, ps := range r.wildcard {
		ps.sort()
	}
	r.any.sort()
	return r, errors.Join(errs...)
}

// each calls f for every route.
func (r *router) each(f func(*route)) {
	all := func(ps *paths) {
		for _, list := range ps.routes {
			for _, rt := range list {
				f(rt)
			}
		}
	}
	for _, ps := range r.exact {
		all(ps)
	}
	for _, ps := range r.wildcard {
		all(ps)
	}
	all(r.any)
}

func newPaths() *paths { return &paths{routes: make(map[string][]*route)} }

// pathsOf returns the routes of host, for one more to be added.
func (r *router) pathsOf(host string) *paths {
	m := r.exact
	switch {
	case host == "":
		return r.any
	case host[0] == '*':
		m, host = r.wildcard, host[1:]
	}
	if m[host] == nil {
		m[host] = newPaths()
	}
	_, port := http1.SplitHost([]byte(host))
	r.ported = r.ported || len(port) > 0
	return m[host]
}

func (ps *paths) add(rt *route) {
	if ps.routes[rt.path] == nil && !slices.Contains(ps.lengths, len(rt.path)) {
		ps.lengths = append(ps.lengths, len(rt.path))
	}
	ps.routes[rt.path] = append(ps.routes[rt.path], rt)
}

func (ps *paths) sort() {
	slices.SortFunc(ps.lengths, func(a, b int) int { return cmp.Compare(b, a) })
	for _, list := range ps.routes {
		slices.SortStableFunc(list, func(a, b *route) int { return cmp.Compare(b.conditions(), a.conditions()) })
	}
}

func (rt *route) conditions() int { return len(rt.headers) + min(len(rt.methods), 1) }

func (rt *Route) build(serviceOf func(*Route) *Service) *route {
	path, _ := http1.PlainPath(rt.Path)
	strip, _ := http1.PlainPath(rt.Strip)
	b := &route{
		name: rt.Host + rt.Path, path: path, form: rt.Form, methods: slices.Clone(rt.Methods), headers: slices.Clone(rt.Headers), allow: rt.Allow, deny: rt.Deny,
		strip: strip, prepend: rt.Prepend, host: rt.ForwardHost, waits: rt.Waits, hints: rt.EarlyHints,
		auth: rt.Auth, open: rt.Open,
		requestHeaders: rt.RequestHeaders, responseHeaders: rt.ResponseHeaders,
	}
	for i := range b.methods {
		b.methods[i] = strings.ToLower(b.methods[i]) // compared in any case, as some servers do
	}
	for i := range b.headers {
		b.headers[i].Name = strings.ToLower(b.headers[i].Name)
	}
	if rt.Redirect.Code != 0 {
		b.redirect = rt.Redirect.build()
		return b
	}
	b.service = serviceOf(rt)
	if m := rt.Mirror; m.Balancer != nil {
		b.mirror = mirroring{service: serviceOf(&Route{Balancer: m.Balancer, RetryBudget: m.RetryBudget, Policy: m.Policy}), share: m.Percent / 100, maxBody: cmp.Or(m.MaxBody, defaultMirrorBody)}
	}
	if c := rt.Canary; c.Balancer != nil {
		b.canary = newCanary(serviceOf(&Route{Balancer: c.Balancer, RetryBudget: c.RetryBudget, Policy: c.Policy}), c.Percent)
	}
	return b
}

// maxHostLen is the length of the longest name that DNS has. No route is for a
// longer one.
const maxHostLen = 255

// match returns the route of a request with the given path, in its plain form,
// or nil if there is none; secure says that its client uses HTTPS. It looks up each suffix of the host and each
// length that a path can have, however many routes there are.
func (r *router) match(h *http1.Head, path []byte, secure bool) *route {
	var buf [maxHostLen + len(":65535")]byte
	name := hostName(buf[:0], h.Host)
	if len(name) > 0 {
		full := name
		if r.ported {
			full = appendPort(name, h.Host, secure)
		}
		if rt := r.matchName(r.exact, name, full, h, path); rt != nil {
			return rt
		}
		for i := 1; i < len(name) && len(r.wildcard) > 0; i++ {
			if name[i] != '.' {
				continue
			}
			if rt := r.matchName(r.wildcard, name[i:], full[i:], h, path); rt != nil {
				return rt
			}
		}
	}
	return r.any.match(h, path)
}

// matchName returns the route of a request by its host, of which full is name
// with its port, if that can make a difference.
func (r *router) matchName(hosts map[string]*paths, name, full []byte, h *http1.Head, path []byte) *route {
	if len(full) > len(name) {
		if ps := hosts[string(full)]; ps != nil {
			if rt := ps.match(h, path); rt != nil {
				return rt
			}
		}
	}
	if ps := hosts[string(name)]; ps != nil {
		return ps.match(h, path)
	}
	return nil
}

// appendPort appends the port that a client has asked for with host, whose
// name is given.
func appendPort(name, host []byte, secure bool) []byte {
	_, port := http1.SplitHost(host)
	switch {
	case len(port) > len("65535"): // of no route
		return name
	case len(port) > 0:
	case secure:
		port = []byte("443")
	default:
		port = []byte("80")
	}
	return append(append(name, ':'), port...)
}

// hostName appends the name of a host in lower case, without port and without
// the root's dot. Of one that is too long nothing is appended.
func hostName(dst, host []byte) []byte {
	name, _ := http1.SplitHost(host)
	if len(name) > maxHostLen {
		return dst
	}
	dst = append(dst, name...)
	for i, c := range dst {
		if 'A' <= c && c <= 'Z' {
			dst[i] = c | 0x20
		}
	}
	return bytes.TrimSuffix(dst, []byte("."))
}

func (ps *paths) match(h *http1.Head, path []byte) *route {
	if len(path) == 1 && path[0] == '*' {
		path = []byte("/")
	}
	for _, n := range ps.lengths {
		if n > len(path) || n < len(path) && path[n] != '/' && path[n-1] != '/' {
			continue // it ends within a segment
		}
		for _, rt := range ps.routes[string(path[:n])] {
			if rt.matches(h) {
				return rt
			}
		}
	}
	return nil
}

// matches reports whether the request meets rt's conditions.
func (rt *route) matches(h *http1.Head) bool {
	if len(rt.methods) > 0 && !slices.ContainsFunc(rt.methods, func(m string) bool { return http1.EqualFold(h.Method, m) }) {
		return false
	}
	for i := range rt.headers {
		if !has(h, &rt.headers[i]) {
			return false
		}
	}
	return true
}

// guarded reports whether the route has conditions, or bounds who may use it,
// so that backends must read a request's path as sluice does.
func (rt *route) guarded() bool {
	return len(rt.methods)+len(rt.headers)+len(rt.allow)+len(rt.deny)+len(rt.requestHeaders) > 0 || rt.auth != nil || rt.open
}

// has reports whether one of the header lines is as m, whose name is in lower
// case, wants it. Servers that hand headers on as environment variables do not
// tell "_" from "-" in a name, so neither does this.
func has(h *http1.Head, m *HeaderMatch) bool {
	for i := range h.Fields {
		if f := &h.Fields[i]; sameName(f.Name, m.Name) && (m.Value == "" || string(f.Value) == m.Value) {
			return true
		}
	}
	return false
}

// sameName reports whether name is s, which is in lower case, in any case and
// with "_" for "-" or the other way round.
func sameName(name []byte, s string) bool {
	if len(name) != len(s) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] && !(c == '_' && s[i] == '-' || c == '-' && s[i] == '_') {
			return false
		}
	}
	return true
}

// admits reports whether a client may use the route.
func (rt *route) admits(client netip.Addr) bool {
	return !contains(rt.deny, client) && (len(rt.allow) == 0 || contains(rt.allow, client))
}

// hasPathPrefix reports whether path begins with prefix and the prefix ends
// where a segment does.
func hasPathPrefix(path []byte, prefix string) bool {
	if len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return false
	}
	return len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/'
}

// appendTarget appends the target to forward for a request of this route, of
// its path and its query, which begins with "?" unless it is empty.
func (rt *route) appendTarget(dst, path, query []byte) []byte {
	if string(path) == "*" {
		return append(dst, path...)
	}
	rest := http1.Behind(path, len(rt.strip))
	dst = append(dst, rt.prepend...)
	switch {
	case len(rest) > 0 && rest[0] == '/':
	case len(rt.prepend) > 0 && len(rest) == 0:
	default:
		dst = append(dst, '/')
	}
	return append(append(dst, rest...), query...)
}
