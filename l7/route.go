package l7

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/balance"
	"sluice/pkg/headeredit"
	"sluice/pkg/limit"
)

// Route says what happens to the requests for a host and below a path.
//
// Of the routes that match a request, the one with the most specific host
// counts: an exact one before a wildcard, the longest wildcard before a shorter
// one, of the same ones that with a port, and any host last. Then the longest path counts, then the larger number
// of conditions, one for Methods and one for each of Headers, and then the
// order. A route that does not match leaves the request to the next one.
type Route struct {
	// Host is the host that a request must name, in lower case.
	// "*.example.com" is any host below example.com, not example.com itself.
	// With a port, as in "example.com:8080", it is a condition on the port that
	// the client has asked for, which is 80 or, with HTTPS, 443 if it named
	// none. Empty means any host on any port.
	Host string
	// Path is the prefix that the request's path must have; it begins with
	// "/". It matches at the boundaries of path segments: "/api" matches
	// "/api", "/api/" and "/api/x" but not "/apix", and "/api/" matches
	// "/api/" and what is below it.
	Path string
	// Methods are those of which the request must have one, in any case. Empty
	// means any.
	Methods []string
	// Headers are what the request must have, each of them.
	Headers []HeaderMatch

	// Deny are networks whose clients are refused, and Allow, if not empty,
	// those of which a client must be. A client is who clientOf finds.
	Allow, Deny []netip.Prefix
	// Redirect answers requests instead of forwarding them, if its Code is not
	// 0.
	Redirect Redirect

	// Form is how the path is forwarded; PathAuto means what the server's Config
	// says.
	Form PathForm
	// Strip is removed from the front of the path before the request is
	// forwarded; what is left begins with "/" again. Path must begin with it.
	// Empty means that the path is forwarded as it came.
	Strip string
	// Prepend is put in front of the path then. It begins with "/" and does not
	// end with one.
	Prepend string
	// ForwardHost is the Host that the backend sees. Empty means what the
	// client sent, and "dst" the backend's own address, as for Fabio.
	ForwardHost string

	// Balancer picks the backend; its pool's name is the service's. It is nil
	// for a redirect.
	Balancer *balance.Balancer
	// RetryBudget is asked before a request is tried again; routes with the
	// same balancer share the first one's. nil means a budget of a fifth, and
	// at least 10 a second.
	RetryBudget *limit.Budget
	// Policy is what else is set for the service; routes with the same balancer
	// share the first one's. nil means nothing.
	Policy *Policy
	// Canary leads a part of the requests to another service.
	Canary Canary
	// Auth says who is let in; nil leaves it to the listener, or if Open is true
	// lets everybody in.
	Auth *Auth
	Open bool
	// RequestHeaders and ResponseHeaders are made after those of the listener
	// and of the service. Of a response to a route that redirects there are the
	// latter alone.
	RequestHeaders, ResponseHeaders headeredit.Edits
	// EarlyHints goes before that of the service and of the listener.
	EarlyHints Toggle
	// Mirror sends copies of a part of the requests to another service.
	Mirror Mirror
	// Waits are what the route sets of the limits of its service, and of the
	// canary's.
	Waits Waits
}

// HeaderMatch is a condition on a request: one of its header lines has this
// name, and this value unless that is empty. Names are compared in any case,
// values exactly.
type HeaderMatch struct{ Name, Value string }

// Canary leads a part of a route's clients to another service, always the same
// ones.
type Canary struct {
	// Balancer, RetryBudget and Policy are those of the other service. A nil
	// Balancer means that there is none.
	Balancer    *balance.Balancer
	RetryBudget *limit.Budget
	Policy      *Policy
	// Percent of the clients, 0 to 100, that are led there.
	Percent float64
}

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
	service  *service
	canary   canary
	mirror   mirror
	waits    Waits
	hints    Toggle

	auth *Auth
	open bool // whatever the listener says

	requestHeaders, responseHeaders headeredit.Edits
}

// newRouter builds a router, with the services that serviceOf makes of the
// routes' balancers. The error names every route that cannot be used.
func newRouter(routes []Route, serviceOf func(*Route) *service) (*router, error) {
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
	_, port := splitHost([]byte(host))
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

func (rt *Route) build(serviceOf func(*Route) *service) *route {
	path, _ := plainPath(rt.Path)
	strip, _ := plainPath(rt.Strip)
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
		b.mirror = mirror{service: serviceOf(&Route{Balancer: m.Balancer, RetryBudget: m.RetryBudget, Policy: m.Policy}), share: m.Percent / 100, maxBody: cmp.Or(m.MaxBody, defaultMirrorBody)}
	}
	if c := rt.Canary; c.Balancer != nil {
		b.canary = newCanary(serviceOf(&Route{Balancer: c.Balancer, RetryBudget: c.RetryBudget, Policy: c.Policy}), c.Percent)
	}
	return b
}

// same reports whether a request that matches rt matches other as well, and no
// rule says which counts but the order.
func (rt *Route) same(other Route) bool {
	return rt.Host == other.Host && rt.PlainPath() == other.PlainPath() && slices.Equal(rt.Methods, other.Methods) && slices.Equal(rt.Headers, other.Headers)
}

// PlainPath returns the path in the one form in which it is matched. Routes
// whose paths differ in their spelling alone are the same.
func (rt *Route) PlainPath() string {
	plain, _ := plainPath(rt.Path)
	return plain
}

func (rt *Route) validate() error {
	if rt.Redirect.Code == 0 && rt.Balancer == nil {
		return errors.New("it has no balancer")
	}
	return rt.Check()
}

// Check reports what is wrong with the route, but for a balancer that it may
// lack.
func (rt *Route) Check() error {
	if rt.Redirect.Code != 0 {
		if err := rt.Redirect.validate(); err != nil {
			return err
		}
	}
	path, pathOK := plainPath(rt.Path)
	strip, stripOK := plainPath(rt.Strip)
	switch {
	case !strings.HasPrefix(rt.Path, "/"):
		return errors.New("its path does not begin with /")
	case !pathOK:
		return errors.New("no path of a request can begin with its path")
	case rt.Strip != "" && (!stripOK || !hasPathPrefix([]byte(path), strip)):
		return fmt.Errorf("its path does not begin with what is to be stripped, %q", rt.Strip)
	case rt.Prepend != "" && (rt.Prepend[0] != '/' || strings.HasSuffix(rt.Prepend, "/") || !isPath(rt.Prepend)):
		return fmt.Errorf("what is to be prepended, %q, is not a path that begins with / and does not end with one", rt.Prepend)
	case rt.ForwardHost != "" && !validHost([]byte(rt.ForwardHost)):
		return fmt.Errorf("the host to forward, %q, is not one", rt.ForwardHost)
	case rt.Canary.Percent < 0 || rt.Canary.Percent > 100:
		return fmt.Errorf("the canary's share, %v %%, is not from 0 to 100", rt.Canary.Percent)
	case rt.Mirror.Percent < 0 || rt.Mirror.Percent > 100:
		return fmt.Errorf("the mirror's share, %v %%, is not from 0 to 100", rt.Mirror.Percent)
	case rt.Mirror.MaxBody < 0:
		return fmt.Errorf("a mirror's body of %d bytes is below 0", rt.Mirror.MaxBody)
	}
	for _, m := range rt.Methods {
		if !isToken([]byte(m)) {
			return fmt.Errorf("%q is not a method", m)
		}
	}
	for _, h := range rt.Headers {
		if !isToken([]byte(h.Name)) || !isFieldValue([]byte(h.Value)) || string(trimSpace([]byte(h.Value))) != h.Value {
			return fmt.Errorf("no request can have the header %q: %q", h.Name, h.Value)
		}
	}
	if rt.Host != "" && !isRouteHost(rt.Host) {
		return errors.New("its host is not a lower-case name, or *. and such a name, with a port or without")
	}
	return nil
}

// isRouteHost reports whether a request can match a route of that host.
func isRouteHost(s string) bool {
	name, port := splitHost([]byte(strings.TrimPrefix(s, "*.")))
	if len(port) > 0 {
		if n, err := strconv.Atoi(string(port)); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != string(port) {
			return false
		}
	}
	return len(name) > 0 && len(name) <= maxHostLen && name[len(name)-1] != '.' && !strings.HasSuffix(s, ":") &&
		s == strings.ToLower(s) && bytes.IndexByte(name, '*') < 0 && validHost(name)
}

// isPath reports whether s can be a part of a target's path.
func isPath(s string) bool {
	_, ok := plainPath(s)
	return ok && !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x7f })
}

// maxHostLen is the length of the longest name that DNS has. No route is for a
// longer one.
const maxHostLen = 255

// match returns the route of a request with the given path, in its plain form,
// or nil if there is none; secure says that its client uses HTTPS. It looks up each suffix of the host and each
// length that a path can have, however many routes there are.
func (r *router) match(h *head, path []byte, secure bool) *route {
	var buf [maxHostLen + len(":65535")]byte
	name := hostName(buf[:0], h.host)
	if len(name) > 0 {
		full := name
		if r.ported {
			full = appendPort(name, h.host, secure)
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
func (r *router) matchName(hosts map[string]*paths, name, full []byte, h *head, path []byte) *route {
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
	_, port := splitHost(host)
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
	name, _ := splitHost(host)
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

func (ps *paths) match(h *head, path []byte) *route {
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
func (rt *route) matches(h *head) bool {
	if len(rt.methods) > 0 && !slices.ContainsFunc(rt.methods, func(m string) bool { return equalFold(h.method, m) }) {
		return false
	}
	for i := range rt.headers {
		if !h.has(&rt.headers[i]) {
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
func (h *head) has(m *HeaderMatch) bool {
	for i := range h.fields {
		if f := &h.fields[i]; sameName(f.name, m.Name) && (m.Value == "" || string(f.value) == m.Value) {
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
	rest := behind(path, len(rt.strip))
	dst = append(dst, rt.prepend...)
	switch {
	case len(rest) > 0 && rest[0] == '/':
	case len(rt.prepend) > 0 && len(rest) == 0:
	default:
		dst = append(dst, '/')
	}
	return append(append(dst, rest...), query...)
}
