package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"sluice/pkg/throttle"
)

// guard decides whether a request reaches next. The order of its checks is in
// the package's doc.
type guard struct {
	next   http.Handler
	logger *slog.Logger
	hosts  *hosts        // nil: any Host
	token  *token        // nil: no token needed
	slots  chan struct{} // a place for each request in progress

	unauthorized, overload throttle.Throttle
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// The index of pprof has a style of its own; nothing needs more.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")

	switch {
	case g.hosts != nil && !g.hosts.allow(r.Host) && !(r.Host == "" && isProbe(r)): // of HTTP/1.0, which no browser speaks
		http.Error(w, "this control plane is bound to loopback and answers to no other host name", http.StatusMisdirectedRequest)
		return
	case crossOrigin(r):
		http.Error(w, "cross-origin requests are refused", http.StatusForbidden)
		return
	case r.ContentLength > maxBodyBytes:
		h.Set("Connection", "close")
		http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
		return
	}
	if r.ContentLength != 0 { // unread bodies are drained, which must end
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	}
	if isProbe(r) {
		g.next.ServeHTTP(w, r)
		return
	}
	if g.token != nil && !isPage(r) && !g.token.match(r.Header.Get("Authorization")) {
		if ok, dropped := g.unauthorized.Allow(time.Now()); ok {
			g.logger.Warn("a request to the control plane had no valid token",
				"listener", "admin", "client", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "more", dropped)
		}
		h.Set("WWW-Authenticate", "Bearer")
		http.Error(w, "a valid bearer token is needed", http.StatusUnauthorized)
		return
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		if ok, dropped := g.overload.Allow(time.Now()); ok {
			g.logger.Warn("too many requests to the control plane at a time",
				"listener", "admin", "max_requests", cap(g.slots), "more", dropped)
		}
		h.Set("Retry-After", "1")
		http.Error(w, "too many requests at a time", http.StatusServiceUnavailable)
		return
	}
	g.next.ServeHTTP(w, r)
}

// isPage reports whether r asks for the files of the dashboard, which say nothing:
// a browser could send no token for them.
func isPage(r *http.Request) bool {
	return r.URL.Path == "/dashboard" || strings.HasPrefix(r.URL.Path, "/dashboard/")
}

// isProbe reports whether r asks for nothing but health.
func isProbe(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" }

// hosts are the host names that a server bound to loopback answers to:
// localhost, every loopback address, and the one it was told to bind.
type hosts struct{ bound string }

func allowedHosts(address string) *hosts {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		panic("BUG: an address that was resolved has no port: " + address)
	}
	return &hosts{bound: strings.ToLower(host)}
}

// allow judges a Host header; its port does not matter.
func (h *hosts) allow(header string) bool {
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	host = strings.ToLower(host)
	if host == "" {
		return false
	}
	if host == "localhost" || host == h.bound {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// crossOrigin reports whether a browser sent r on behalf of another site. It
// is stricter than http.CrossOriginProtection in that it judges safe methods
// too: a profile is costly, whoever gets to see it. Following a link to the
// index or the dashboard is fine.
func crossOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		// No browser, or one from before 2023, of which Origin must be ours.
		origin := r.Header.Get("Origin")
		if origin == "" {
			return false
		}
		u, err := url.Parse(origin)
		return err != nil || u.Host != r.Host
	}
	link := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		r.Header.Get("Sec-Fetch-Dest") == "document" && (r.URL.Path == "/" || isPage(r))
	return !link
}

// token is a bearer token, kept as its digest, so that comparing takes the
// same time whatever is sent.
type token struct{ digest [sha256.Size]byte }

func newToken(s string) *token { return &token{sha256.Sum256([]byte(s))} }

// match reports whether an Authorization header carries the token.
func (t *token) match(header string) bool {
	scheme, value, _ := strings.Cut(header, " ")
	digest := sha256.Sum256([]byte(strings.TrimLeft(value, " ")))
	same := subtle.ConstantTimeCompare(digest[:], t.digest[:]) == 1
	return same && strings.EqualFold(scheme, "Bearer")
}
