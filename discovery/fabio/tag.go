package fabio

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Tag is a tag that was understood: a route or, if Listen is not empty, a TCP
// listener.
type Tag struct {
	// Listen is the address to listen on, [IP]:PORT.
	Listen string
	// ProxyProto says that the instance wants a PROXY header, of version 1.
	ProxyProto bool

	Host string // lower case; may begin with "*." and end in a port; empty: any
	Path string // prefix, begins with a slash
	Rewrite

	// Allow are the networks of those who may use the route, empty for all,
	// and Deny of those who may not.
	Allow, Deny []netip.Prefix

	// Auth names the file of users that clients are asked for; empty: none.
	Auth string
	// Closed says why nobody may use the route: what it asks to keep others out
	// cannot be understood. Empty: it can.
	Closed string

	// Protocol is what the instance speaks, if that is not HTTP/1.1 without TLS:
	// https, grpc or grpcs. Of the two with TLS, SkipVerify says that its
	// certificate is believed unseen, and ServerName which name it is to prove.
	Protocol, ServerName string
	SkipVerify           bool

	// Weight is the part of the route's traffic that the instance is to get, 0
	// to 1, or 0 if it is to share what others leave.
	Weight float64
}

// Rewrite is what happens to a request of a route on its way. The zero value
// changes nothing.
type Rewrite struct {
	Strip   string // taken off the front of the path
	Prepend string // put in front of it then
	Host    string // the Host that the backend sees; "dst" is its own address

	RedirectCode int    // 0: none
	RedirectTo   string // may contain $path and $host
}

// Parse reads a tag that begins with prefix. In a host or path, $NAME stands
// for env's value, as in Fabio's $DC. ignored are options without effect.
func Parse(tag, prefix string, env map[string]string) (t Tag, ignored []string, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(tag), prefix)
	if !ok {
		return t, nil, fmt.Errorf("it does not begin with %q", prefix)
	}
	words := strings.Fields(rest)
	if len(words) == 0 {
		return t, nil, fmt.Errorf("it names no route")
	}
	proto, skipVerify, closed := "", false, error(nil)
	seen := make(map[string]bool)
	for _, option := range words[1:] {
		key, value, _ := strings.Cut(option, "=")
		if seen[key] {
			return t, nil, fmt.Errorf("option %q comes twice", key)
		}
		seen[key] = true
		switch key {
		case "proto":
			proto = value
		case "weight":
			t.Weight, err = parseWeight(value)
		case "strip":
			t.Strip = value
		case "prepend":
			t.Prepend, err = parsePrepend(value)
		case "host":
			t.Rewrite.Host, err = parseForwardHost(value)
		case "redirect":
			t.RedirectCode, t.RedirectTo, err = parseRedirect(value)
		case "allow":
			t.Allow, closed = parseNetworks(key, value)
			t.close(closed)
		case "deny":
			t.Deny, closed = parseNetworks(key, value)
			t.close(closed)
		case "tlsskipverify":
			skipVerify = value == "true"
		case "grpcservername":
			t.ServerName = value
		case "pxyproto":
			if value != "true" && value != "false" {
				err = fmt.Errorf("option %q is neither true nor false", option)
			}
			t.ProxyProto = value == "true"
		case "auth":
			if value != "false" {
				t.Auth = value
			}
		default:
			ignored = append(ignored, option)
		}
		if err != nil {
			return Tag{}, nil, err
		}
	}
	switch {
	case proto == "tcp", (proto == "" || proto == "http") && strings.HasPrefix(words[0], ":"):
		return t, ignored, t.listener(words[0])
	case proto == "", proto == "http":
	case proto == "https", proto == "grpc", proto == "grpcs":
		t.Protocol = proto
	default:
		return Tag{}, nil, fmt.Errorf("option %q is not supported", "proto="+proto)
	}
	if t.ProxyProto {
		return Tag{}, nil, fmt.Errorf("option %q is not supported without proto=tcp", "pxyproto=true")
	}
	secure := proto == "https" || proto == "grpcs"
	if t.SkipVerify = skipVerify && secure; skipVerify && !secure {
		ignored = append(ignored, "tlsskipverify=true")
	}
	if t.ServerName != "" && !secure {
		ignored = append(ignored, "grpcservername="+t.ServerName)
		t.ServerName = ""
	}
	if err := t.route(words[0], env); err != nil {
		return Tag{}, nil, err
	}
	if s := strings.TrimSuffix(t.Strip, "/"); t.strips(s) {
		t.Strip = s
	} else {
		ignored = append(ignored, "strip="+t.Strip)
		t.Strip = ""
	}
	return t, ignored, nil
}

// strips reports whether s, without a slash at its end, is what the path begins
// with, by whole segments.
func (t *Tag) strips(s string) bool {
	return s == "" || s[0] == '/' && (t.Path == s || strings.HasPrefix(t.Path, s+"/"))
}

// listener reads what a TCP tag names.
func (t *Tag) listener(addr string) error {
	host, port, err := net.SplitHostPort(strings.TrimSuffix(addr, "/"))
	if err != nil {
		if name, path, _ := strings.Cut(addr, "/"); path == "" && validName(strings.ToLower(name)) {
			return errName(name)
		}
		return fmt.Errorf("%q is not [IP]:PORT, which proto=tcp needs", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q is not within 1 and 65535", port)
	}
	if host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return errName(host)
		}
	}
	if t.Rewrite != (Rewrite{}) {
		return fmt.Errorf("strip, prepend, host and redirect mean nothing with proto=tcp")
	}
	if len(t.Allow)+len(t.Deny) > 0 || t.Auth != "" || t.Closed != "" {
		return fmt.Errorf("allow, deny and auth are not supported with proto=tcp")
	}
	t.Listen = net.JoinHostPort(host, port)
	if host == "" {
		t.Listen = ":" + port
	}
	return nil
}

// errName says why a TCP tag with a name is of no use.
func errName(name string) error {
	return fmt.Errorf("%q is a name, and connections have one only with TLS (SNI), for which tags are not supported: --l4 has sni=", name)
}

// route reads what an HTTP tag names.
func (t *Tag) route(src string, env map[string]string) error {
	host, path, _ := strings.Cut(src, "/")
	host, path = strings.ToLower(expand(host, env)), "/"+expand(path, env)
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
			return fmt.Errorf("port %q of host %q is not within 1 and 65535", port, host)
		}
		if name = h; name == "" {
			return fmt.Errorf("%q has a path, and a port alone is a TCP listener", src)
		}
	}
	if !validHost(name) {
		return fmt.Errorf("%q is not a host name", host)
	}
	if strings.ContainsAny(path, "?#*") || hasDotSegment(path) {
		return fmt.Errorf("no path of a request can begin with %q", path)
	}
	t.Host, t.Path = host, path
	return nil
}

// expand replaces $NAME and ${NAME} by env's values; names that env does not
// have stay.
func expand(s string, env map[string]string) string {
	return os.Expand(s, func(name string) string {
		if v, ok := env[name]; ok {
			return v
		}
		return "$" + name
	})
}

// validHost reports whether host is a name or an IP address, "*." and a name,
// or empty.
func validHost(host string) bool {
	return host == "" || validName(strings.TrimPrefix(host, "*."))
}

func validName(name string) bool {
	if name == "" || len(name) > 253 || strings.Contains(name, "..") || strings.HasPrefix(name, ".") {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}

func hasDotSegment(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

func parseWeight(value string) (float64, error) {
	w, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(w) || math.IsInf(w, 0) {
		return 0, fmt.Errorf("weight=%s is not a number", value)
	}
	return min(max(w, 0), 1), nil
}

// parsePrepend reads a path; it gets a slash in front if it has none.
func parsePrepend(value string) (string, error) {
	if strings.ContainsAny(value, "?#") || hasDotSegment(value) {
		return "", fmt.Errorf("prepend=%s is not a path", value)
	}
	value = strings.Trim(value, "/")
	if value == "" {
		return "", nil
	}
	return "/" + value, nil
}

func parseForwardHost(value string) (string, error) {
	name := value
	if host, port, err := net.SplitHostPort(value); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", fmt.Errorf("host=%s has a port that is not within 1 and 65535", value)
		}
		name = host
	}
	if name == "" || strings.HasPrefix(name, "*") || !validHost(strings.ToLower(name)) {
		return "", fmt.Errorf("host=%s is not a host name", value)
	}
	return value, nil
}

func parseRedirect(value string) (code int, to string, err error) {
	text, to, ok := strings.Cut(value, ",")
	code, err = strconv.Atoi(text)
	if !ok || err != nil || !slices.Contains([]int{301, 302, 303, 307, 308}, code) {
		return 0, "", fmt.Errorf("redirect=%s is not CODE,URL with a code of 301, 302, 303, 307 or 308", value)
	}
	u, err := url.Parse(strings.NewReplacer("$host", "host", "$path", "/path").Replace(to))
	if err != nil || !(strings.HasPrefix(to, "/") || (u.Scheme == "http" || u.Scheme == "https") && u.Host != "") {
		return 0, "", fmt.Errorf("redirect to %q is neither a URL of http or https nor a path", to)
	}
	return code, to, nil
}

// close closes the route for err, if that is not nil. To skip the tag instead
// could leave its path to a wider route that anybody may use.
func (t *Tag) close(err error) {
	if err != nil && t.Closed == "" {
		t.Closed = err.Error()
	}
}

// parseNetworks reads ip:CIDR,...; after a mistake nobody may use the route,
// since who may is not to be guessed.
func parseNetworks(key, value string) (networks []netip.Prefix, err error) {
	for _, item := range strings.Split(value, ",") {
		text, ok := strings.CutPrefix(item, "ip:")
		if !ok {
			return nil, fmt.Errorf("%s=%s: %q is not ip:CIDR", key, value, item)
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%s=%s: %q is not a network", key, value, text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}
