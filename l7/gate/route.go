package gate

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sluice/l7/http1"
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

// same reports whether a request that matches rt matches other as well, and no
// rule says which counts but the order.
func (rt *Route) same(other Route) bool {
	return rt.Host == other.Host && rt.PlainPath() == other.PlainPath() && slices.Equal(rt.Methods, other.Methods) && slices.Equal(rt.Headers, other.Headers)
}

// PlainPath returns the path in the one form in which it is matched. Routes
// whose paths differ in their spelling alone are the same.
func (rt *Route) PlainPath() string {
	plain, _ := http1.PlainPath(rt.Path)
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
	path, pathOK := http1.PlainPath(rt.Path)
	strip, stripOK := http1.PlainPath(rt.Strip)
	switch {
	case !strings.HasPrefix(rt.Path, "/"):
		return errors.New("its path does not begin with /")
	case !pathOK:
		return errors.New("no path of a request can begin with its path")
	case rt.Strip != "" && (!stripOK || !hasPathPrefix([]byte(path), strip)):
		return fmt.Errorf("its path does not begin with what is to be stripped, %q", rt.Strip)
	case rt.Prepend != "" && (rt.Prepend[0] != '/' || strings.HasSuffix(rt.Prepend, "/") || !isPath(rt.Prepend)):
		return fmt.Errorf("what is to be prepended, %q, is not a path that begins with / and does not end with one", rt.Prepend)
	case rt.ForwardHost != "" && !http1.ValidHost([]byte(rt.ForwardHost)):
		return fmt.Errorf("the host to forward, %q, is not one", rt.ForwardHost)
	case rt.Canary.Percent < 0 || rt.Canary.Percent > 100:
		return fmt.Errorf("the canary's share, %v %%, is not from 0 to 100", rt.Canary.Percent)
	case rt.Mirror.Percent < 0 || rt.Mirror.Percent > 100:
		return fmt.Errorf("the mirror's share, %v %%, is not from 0 to 100", rt.Mirror.Percent)
	case rt.Mirror.MaxBody < 0:
		return fmt.Errorf("a mirror's body of %d bytes is below 0", rt.Mirror.MaxBody)
	}
	for _, m := range rt.Methods {
		if !http1.IsToken([]byte(m)) {
			return fmt.Errorf("%q is not a method", m)
		}
	}
	for _, h := range rt.Headers {
		if !http1.IsToken([]byte(h.Name)) || !http1.IsFieldValue([]byte(h.Value)) || string(http1.TrimSpace([]byte(h.Value))) != h.Value {
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
	name, port := http1.SplitHost([]byte(strings.TrimPrefix(s, "*.")))
	if len(port) > 0 {
		if n, err := strconv.Atoi(string(port)); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != string(port) {
			return false
		}
	}
	return len(name) > 0 && len(name) <= maxHostLen && name[len(name)-1] != '.' && !strings.HasSuffix(s, ":") &&
		s == strings.ToLower(s) && bytes.IndexByte(name, '*') < 0 && http1.ValidHost(name)
}

// isPath reports whether s can be a part of a target's path.
func isPath(s string) bool {
	_, ok := http1.PlainPath(s)
	return ok && !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x7f })
}
