package config

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HTTP says what an HTTP listener asks of requests, and adds to them.
type HTTP struct {
	ClientRate
	MaxBody       int64         // bytes of a request's body; 0: no limit
	HTTPSRedirect int           // port of the HTTPS listener that other clients are sent to; 0: none are
	HSTS          time.Duration // 0: not said
	Forwarded     bool          // say Forwarded to backends, beside X-Forwarded-*
	Paths         Paths
	EarlyHints    *bool   // pass 103 and other interim responses on; nil: yes
	TraceSample   float64 // percent of the traces begun here that are sampled; 0: none are begun
}

func (h *HTTP) keys() []string {
	return slices.Concat(h.ClientRate.keys(), []string{"max-body", "https-redirect", "hsts", "forwarded", "trace-sample", "early-hints"}, h.Paths.keys())
}

func (h *HTTP) set(key, value string) (err error) {
	switch key {
	case "rate", "rate-burst", "rate-key":
		err = h.ClientRate.set(key, value)
	case "max-body":
		h.MaxBody, err = size(key, value)
	case "https-redirect":
		if on, bad := strconv.ParseBool(value); bad == nil && len(value) > 1 {
			if h.HTTPSRedirect = 0; on {
				h.HTTPSRedirect = 443
			}
			return nil
		}
		if h.HTTPSRedirect, err = count(key, value); err != nil || h.HTTPSRedirect < 1 || h.HTTPSRedirect > 65535 {
			err = fmt.Errorf("https-redirect=%q is neither true nor the port of HTTPS", value)
		}
	case "hsts":
		if h.HSTS, err = duration(key, value); err == nil && h.HSTS < time.Second {
			err = fmt.Errorf("hsts=%q is less than a second; a year is 8760h", value)
		}
	case "forwarded":
		h.Forwarded, err = boolean(key, value)
	case "trace-sample":
		h.TraceSample, err = percentage(key, value)
	case "early-hints":
		h.EarlyHints, err = toggle(key, value)
	default:
		err = h.Paths.set(key, value)
	}
	return err
}

func (h *HTTP) check() error { return h.ClientRate.check() }

func (h *HTTP) pairs() []pair {
	pairs := h.ClientRate.pairs()
	if h.MaxBody > 0 {
		pairs = append(pairs, pair{"max-body", strconv.FormatInt(h.MaxBody, 10)})
	}
	pairs = append(pairs, pair{"https-redirect", nonzero(h.HTTPSRedirect)})
	if h.HSTS > 0 {
		pairs = append(pairs, pair{"hsts", h.HSTS.String()})
	}
	if h.Forwarded {
		pairs = append(pairs, pair{"forwarded", "true"})
	}
	return append(append(pairs, pair{"trace-sample", number(h.TraceSample)}, pair{"early-hints", optional(h.EarlyHints)}), h.Paths.pairs()...)
}

// RouteOptions say which requests a route is for, beside host and path, and
// what becomes of them.
type RouteOptions struct {
	Methods     []string // empty: any
	Headers     []HeaderMatch
	Allow, Deny []CIDR // of clients; no Allow: any
	Prepend     string // put in front of the path, after Strip; empty: nothing
	Form        string // normalized or raw: how the path is forwarded; empty: as the listener says
	RewriteHost string // Host that backends see, dst for their own address; empty: the client's
	Redirect    Redirect
	Canary      Canary
	EarlyHints  *bool // nil: as the service or the listener says
}

// HeaderMatch is a header that a request must have.
type HeaderMatch struct {
	Name  string
	Value string // empty: any
}

// Redirect is where requests are sent, with $path for theirs and $host for
// their host.
type Redirect struct {
	Code int // 0: none
	To   string
}

// Canary is another service for a part of a route's clients.
type Canary struct {
	Service string // empty: none
	Percent float64
}

func (o *RouteOptions) keys() []string {
	return []string{"method", "header", "allow", "deny", "forward-path", "prepend", "rewrite-host", "redirect", "canary", "early-hints"}
}

func (o *RouteOptions) lists(key string) bool {
	return slices.Contains([]string{"method", "header", "allow", "deny"}, key)
}

func (o *RouteOptions) set(key, value string) (err error) {
	network := func(list *[]CIDR) error {
		n, err := ParseCIDR(value)
		if err != nil {
			return fmt.Errorf("%s=%q: %w", key, value, err)
		}
		*list = append(*list, n)
		return nil
	}
	switch key {
	case "method":
		if !isToken(value) {
			return fmt.Errorf("method=%q is not a method", value)
		}
		o.Methods = append(o.Methods, value)
	case "header":
		name, v, _ := strings.Cut(value, ":")
		if v = strings.TrimSpace(v); !isToken(name) || strings.ContainsFunc(v, isControl) {
			return fmt.Errorf("header=%q is not NAME or NAME:VALUE", value)
		}
		o.Headers = append(o.Headers, HeaderMatch{name, v})
	case "allow":
		return network(&o.Allow)
	case "deny":
		return network(&o.Deny)
	case "forward-path":
		if !slices.Contains(pathForms(), value) {
			return fmt.Errorf("%s=%q is neither normalized nor raw", key, value)
		}
		o.Form = value
	case "prepend":
		o.Prepend = value
	case "rewrite-host":
		o.RewriteHost = value
	case "redirect":
		code, to, _ := strings.Cut(value, ":")
		if o.Redirect.Code, err = strconv.Atoi(code); err != nil || to == "" {
			return fmt.Errorf("redirect=%q is not CODE:URL, such as 301:https://www.example.com$path", value)
		}
		o.Redirect.To = to
	case "early-hints":
		o.EarlyHints, err = toggle(key, value)
		return err
	case "canary":
		name, share, _ := strings.Cut(value, ":")
		o.Canary.Service = name
		if o.Canary.Percent, err = percentage(key, share); err != nil {
			return fmt.Errorf("canary=%q is not SERVICE:PERCENT", value)
		}
	}
	return nil
}

func (o *RouteOptions) check() error {
	if o.Prepend != "" && (o.Prepend[0] != '/' || strings.HasSuffix(o.Prepend, "/") || strings.ContainsAny(o.Prepend, " \t?#")) {
		return fmt.Errorf("prepend %q is not a path that begins with / and does not end with it", o.Prepend)
	}
	if o.RewriteHost != "" && !isHostPort(o.RewriteHost) {
		return fmt.Errorf("rewrite-host %q is neither dst nor a host", o.RewriteHost)
	}
	if o.Canary.Service != "" {
		if err := serviceName(o.Canary.Service); err != nil {
			return fmt.Errorf("canary: %w", err)
		}
	}
	if o.Redirect.Code == 0 {
		return nil
	}
	switch {
	case !slices.Contains([]int{301, 302, 303, 307, 308}, o.Redirect.Code):
		return fmt.Errorf("redirect %d is none of 301, 302, 303, 307 and 308", o.Redirect.Code)
	case !isLocation(o.Redirect.To):
		return fmt.Errorf("redirect to %q is neither http:// or https:// with a host nor a path", o.Redirect.To)
	case o.Canary.Service != "" || o.Prepend != "" || o.RewriteHost != "":
		return fmt.Errorf("a route with redirect= forwards nothing; canary=, prepend= and rewrite-host= are of no use")
	}
	return nil
}

func (o *RouteOptions) pairs() []pair {
	var pairs []pair
	for _, m := range o.Methods {
		pairs = append(pairs, pair{"method", m})
	}
	for _, h := range o.Headers {
		if h.Value != "" {
			h.Name += ":"
		}
		pairs = append(pairs, pair{"header", h.Name + h.Value})
	}
	for _, n := range o.Allow {
		pairs = append(pairs, pair{"allow", n.String()})
	}
	for _, n := range o.Deny {
		pairs = append(pairs, pair{"deny", n.String()})
	}
	pairs = append(pairs, pair{"forward-path", o.Form}, pair{"prepend", o.Prepend}, pair{"rewrite-host", o.RewriteHost})
	if o.Redirect.Code != 0 {
		pairs = append(pairs, pair{"redirect", fmt.Sprintf("%d:%s", o.Redirect.Code, o.Redirect.To)})
	}
	if o.Canary.Service != "" {
		pairs = append(pairs, pair{"canary", o.Canary.Service + ":" + strconv.FormatFloat(o.Canary.Percent, 'g', -1, 64)})
	}
	pairs = append(pairs, pair{"early-hints", optional(o.EarlyHints)})
	return pairs
}

// matches returns what tells routes of the same host and path apart.
func (o *RouteOptions) matches() string { return fmt.Sprint(o.Methods, o.Headers) }

// Requests say how the HTTP requests for a service are kept together and
// bounded.
type Requests struct {
	Sticky Sticky
	Cookie Cookie
	ClientRate
	Fleet       bool // Rate and MaxRequests are for all sluices of the fleet together
	MaxRequests int  // in flight; 0: no limit
	Adaptive    bool // the limit follows what the service can take
	Breaker     Breaker
	EarlyHints  *bool // nil: as the listener says
}

// Sticky says what keeps the requests of a client together.
type Sticky struct {
	By   string // client, header or cookie; empty: nothing
	Name string // of the header, in lower case, or of the cookie
}

// Breaker is a circuit breaker for each backend.
type Breaker struct {
	Percent  float64       // of the requests that must have failed; 0: no breaker
	OpenTime time.Duration // 0: 5 s
}

func (r *Requests) keys() []string {
	return slices.Concat([]string{"sticky", "max-requests", "concurrency", "breaker", "early-hints", "fleet"}, r.ClientRate.keys(), r.Cookie.keys())
}

func (r *Requests) set(key, value string) (err error) {
	switch key {
	case "sticky":
		by, name, named := strings.Cut(value, ":")
		r.Sticky = Sticky{By: by, Name: name}
		switch {
		case by == "client" && !named, by == "cookie" && (!named || isToken(name)):
		case by == "header" && isToken(name):
			r.Sticky.Name = strings.ToLower(name)
		default:
			return fmt.Errorf("sticky=%q is none of client, header:NAME, cookie and cookie:NAME", value)
		}
	case "max-requests":
		r.MaxRequests, err = count(key, value)
	case "concurrency":
		if value != "adaptive" && value != "fixed" {
			return fmt.Errorf("concurrency=%q is neither fixed nor adaptive", value)
		}
		r.Adaptive = value == "adaptive"
	case "breaker":
		share, open, long := strings.Cut(value, ":")
		r.Breaker.Percent, err = percentage(key, share)
		if err == nil && long {
			r.Breaker.OpenTime, err = duration(key, open)
		}
		if err != nil || r.Breaker.Percent == 0 || long && r.Breaker.OpenTime == 0 {
			return fmt.Errorf("breaker=%q is not PERCENT or PERCENT:DURATION, such as 50:5s", value)
		}
	case "early-hints":
		r.EarlyHints, err = toggle(key, value)
	case "fleet":
		r.Fleet, err = boolean(key, value)
	case "rate", "rate-burst", "rate-key":
		err = r.ClientRate.set(key, value)
	default:
		err = r.Cookie.set(key, value)
	}
	return err
}

func (r *Requests) pairs() []pair {
	var pairs []pair
	if s := r.Sticky; s.By != "" {
		if s.Name != "" {
			s.By += ":"
		}
		pairs = append(pairs, pair{"sticky", s.By + s.Name})
	}
	pairs = append(pairs, r.Cookie.pairs()...)
	pairs = append(append(pairs, pair{"max-requests", nonzero(r.MaxRequests)}), r.ClientRate.pairs()...)
	if r.Fleet {
		pairs = append(pairs, pair{"fleet", "true"})
	}
	if r.Adaptive {
		pairs = append(pairs, pair{"concurrency", "adaptive"})
	}
	if b := r.Breaker; b.Percent > 0 {
		value := number(b.Percent)
		if b.OpenTime > 0 {
			value += ":" + b.OpenTime.String()
		}
		pairs = append(pairs, pair{"breaker", value})
	}
	pairs = append(pairs, pair{"early-hints", optional(r.EarlyHints)})
	return pairs
}

// check checks the cookie, and whether there is one to be set.
func (r *Requests) check() error {
	if r.Cookie != (Cookie{}) && r.Sticky.By != "cookie" {
		return fmt.Errorf("cookie-path=, cookie-domain=, cookie-same-site=, cookie-secure=, cookie-http-only= and cookie-max-age= need sticky=cookie")
	}
	return r.Cookie.check(r.Sticky.Name)
}

// forRequests returns the keys that are set of the service and that HTTP requests
// alone heed, each as KEY=.
func (s *Service) forRequests() (keys []string) {
	for _, p := range append(s.Requests.pairs(), s.HeaderEdits.pairs()...) {
		if p.value != "" && !slices.Contains(keys, p.key+"=") {
			keys = append(keys, p.key+"=")
		}
	}
	return keys
}

// any reports whether anything is set.
func (r *Requests) any() bool { return *r != Requests{} }

// checkStrategy checks that the strategy, empty for the default, does what
// Sticky needs.
func (r *Requests) checkStrategy(strategy string) error {
	if r.hashes() && strategy != "" && !slices.Contains(hashing(), strategy) {
		return fmt.Errorf("sticky=%s needs a strategy that hashes: %s", r.Sticky.By, strings.Join(hashing(), ", "))
	}
	return nil
}

// hashes reports whether the strategy has to keep clients together.
func (r *Requests) hashes() bool { return r.Sticky.By == "client" || r.Sticky.By == "header" }

// hashing returns the strategies that keep clients together.
func hashing() []string { return []string{"consistent_hash", "ip_hash", "maglev"} }

// rate reads a number of events a second, or with /s, /m or /h of that time.
func rate(key, value string) (float64, error) {
	digits, unit, _ := strings.Cut(value, "/")
	n, err := decimal(digits)
	per := map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600}[unit]
	if err != nil || per == 0 || !(n > 0) || n > 1e9 || n/per < 1e-4 {
		return 0, fmt.Errorf("%s=%q is not a rate such as 100, 30/m or 500/h", key, value)
	}
	return n / per, nil
}

// decimal reads a number in decimal digits, with a point or without: no
// hexadecimal one, no infinity.
func decimal(s string) (float64, error) {
	if strings.Trim(s, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

// percentage reads a number from 0 to 100, maybe with a percent sign.
func percentage(key, value string) (float64, error) {
	n, err := decimal(strings.TrimSuffix(value, "%"))
	if err != nil || !(n >= 0 && n <= 100) {
		return 0, fmt.Errorf("%s=%q is not a percentage from 0 to 100", key, value)
	}
	return n, nil
}

// size reads a number of bytes, or with k, m or g of so many times 1024.
func size(key, value string) (int64, error) {
	digits, shift := value, 0
	if i := strings.IndexAny(strings.ToLower(value), "kmg"); i >= 0 && i == len(value)-1 {
		digits, shift = value[:i], 10*(1+strings.IndexByte("kmg", value[i]|0x20))
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%s=%q is not a size such as 512k or 10m", key, value)
	}
	return n << shift, nil
}

// number writes what is not 0.
func number(n float64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}

// isToken reports whether s can be a method, or the name of a header or cookie
// (RFC 9110 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// isLocation reports whether a redirect can lead to s.
func isLocation(s string) bool {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || strings.Count(s, "$path") > 1 {
		return false
	}
	host, absolute := strings.CutPrefix(s, "https://")
	if !absolute {
		host, absolute = strings.CutPrefix(s, "http://")
	}
	if absolute {
		return host != "" && host[0] != '/' && !strings.HasPrefix(host, "$path") && strings.LastIndex(host, "$host") <= 0
	}
	return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.HasPrefix(s, "/$path") && !strings.Contains(s, "$host")
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isHostPort reports whether s is a host, maybe with a port.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, "80"
	}
	n, err := strconv.Atoi(port)
	return host != "" && !strings.ContainsFunc(strings.ToLower(host), notInHost) && err == nil && n > 0 && n <= 65535
}
