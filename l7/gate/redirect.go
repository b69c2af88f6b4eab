package gate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sluice/l7/http1"
)

// Redirect answers requests by sending the client elsewhere.
type Redirect struct {
	// Code is the status: 301, 302, 303, 307 or 308.
	Code int
	// To is where to: http:// or https:// and what follows, or a path. As for
	// Fabio, $path in it stands for the request's path, less what the route
	// strips; the request's query is then added unless To has its own. $host
	// stands for the host without its port.
	To string
}

// redirect is a Redirect taken apart: To is before, path, after.
type redirect struct {
	code          int
	before, after string
	host          bool // $host stands between scheme and before
	scheme        string
	path          bool // the request's path stands between before and after
	query         bool // and its query at the end
}

const (
	pathVariable = "$path"
	hostVariable = "$host"
)

func (r *Redirect) validate() error {
	switch r.Code {
	case 301, 302, 303, 307, 308:
	default:
		return fmt.Errorf("%d is not the status of a redirect: 301, 302, 303, 307 or 308", r.Code)
	}
	for i := range len(r.To) {
		if r.To[i] <= ' ' || r.To[i] >= 0x7f {
			return fmt.Errorf("%q is not where a redirect can lead to", r.To)
		}
	}
	rest, absolute := cutScheme(r.To)
	switch {
	case absolute && (rest == "" || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, pathVariable)):
		return fmt.Errorf("redirect to %q: it has no host", r.To)
	case absolute:
	case !strings.HasPrefix(r.To, "/") || strings.HasPrefix(r.To, "//") || strings.HasPrefix(r.To, "/"+pathVariable):
		// What a client makes of "//" is not ours to say.
		return fmt.Errorf("redirect to %q: want http://, https:// or a path", r.To)
	}
	if strings.Count(r.To, pathVariable) > 1 || strings.Count(r.To, hostVariable) > 1 ||
		strings.Contains(r.To, hostVariable) && !strings.HasPrefix(rest, hostVariable) {
		return fmt.Errorf("redirect to %q: $path may stand there once, and $host once and in place of the host", r.To)
	}
	return nil
}

// cutScheme cuts the scheme off a URL that has one.
func cutScheme(s string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(s, "https://"); !ok {
		rest, ok = strings.CutPrefix(s, "http://")
	}
	return rest, ok
}

// build takes a valid r apart.
func (r *Redirect) build() *redirect {
	b := &redirect{code: r.Code}
	rest, absolute := cutScheme(r.To)
	if absolute {
		b.scheme = r.To[:len(r.To)-len(rest)]
	}
	rest, b.host = strings.CutPrefix(rest, hostVariable)
	b.before, b.after, b.path = strings.Cut(rest, pathVariable)
	if b.path {
		b.before = strings.TrimSuffix(b.before, "/") // the path begins with one
		b.query = !strings.Contains(rest, "?")
	}
	return b
}

// errNoHost is about a redirect to the host of a request that names none.
var errNoHost = errors.New("l7: the request names no host to redirect to")

// appendLocation appends where a request of rt, which is a redirect, is sent:
// one for the given host, path and query, which begins with "?" unless it is
// empty.
func (rt *route) appendLocation(dst, host, path, query []byte) ([]byte, error) {
	r := rt.redirect
	dst = append(dst, r.scheme...)
	if r.host {
		name, _ := http1.SplitHost(host)
		if len(name) == 0 {
			return nil, errNoHost
		}
		dst = append(dst, name...)
	}
	dst = append(dst, r.before...)
	if !r.path {
		return append(dst, r.after...), nil
	}
	if string(path) == "*" {
		path = []byte("/")
	}
	if rest := http1.Behind(path, len(rt.strip)); len(rest) > 0 && rest[0] == '/' {
		dst = append(dst, rest...)
	} else {
		dst = append(append(dst, '/'), rest...)
	}
	dst = append(dst, r.after...)
	if r.query {
		dst = append(dst, query...)
	}
	return dst, nil
}

// appendSecureLocation appends where a request is sent that should have come by
// HTTPS: to the same host, and port unless that is 443.
func appendSecureLocation(dst, host, path, query []byte, port int) ([]byte, error) {
	name, _ := http1.SplitHost(host)
	if len(name) == 0 {
		return nil, errNoHost
	}
	dst = append(append(dst, "https://"...), name...)
	if port != 443 {
		dst = strconv.AppendInt(append(dst, ':'), int64(port), 10)
	}
	if string(path) == "*" {
		return append(dst, '/'), nil
	}
	return append(append(dst, path...), query...), nil
}

// secureCode returns the status of a redirect to HTTPS: 301 for whom every
// client keeps the method, else 308.
func secureCode(method []byte) int {
	if s := string(method); s == "GET" || s == "HEAD" {
		return 301
	}
	return 308
}
