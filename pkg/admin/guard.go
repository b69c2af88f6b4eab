package admin

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/limit"
	"sluice/pkg/throttle"
)

// guard decides whether a request reaches next. The order of its checks is in
// the package's doc.
type guard struct {
	next   http.Handler
	logger *slog.Logger
	hosts  *hosts        // nil: any Host
	access access        // zero: no token needed
	slots  chan struct{} // a place for each request in progress
	// streams are places for answers that go on, which take none of slots.
	streams chan struct{}
	guesses *limit.Rate // of wrong tokens, by client; nil without tokens
	refused *refusals

	unauthorized, overload, foreign throttle.Throttle
}

const (
	// A client may send so many wrong tokens at once, and so many a second then.
	guessBurst = 20
	guessRate  = 0.2
)

// refusals count requests that did not pass, by why.
type refusals map[string]*metrics.Counter

// Why a request does not pass.
const (
	refusedHost     = "host"
	refusedOrigin   = "origin"
	refusedBody     = "body"
	refusedToken    = "token"
	refusedGuess    = "guess"
	refusedRole     = "role"
	refusedOverload = "overload"
)

func newRefusals(set *metrics.Set) *refusals {
	all := make(refusals)
	for _, why := range []string{refusedHost, refusedOrigin, refusedBody, refusedToken, refusedGuess, refusedRole, refusedOverload} {
		all[why] = set.GetOrCreateCounter(fmt.Sprintf("sluice_admin_refused_total{reason=%q}", why))
	}
	return &all
}

func (r *refusals) add(why string) {
	if r != nil {
		(*r)[why].Inc()
	}
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
		g.turnAway(r, refusedHost, &g.foreign)
		writeError(w, http.StatusMisdirectedRequest, "this control plane is bound to loopback and answers to no other host name")
		return
	case crossOrigin(r):
		g.turnAway(r, refusedOrigin, &g.foreign)
		writeError(w, http.StatusForbidden, "cross-origin requests are refused")
		return
	case r.ContentLength > maxBodyBytes:
		g.turnAway(r, refusedBody, &g.foreign)
		h.Set("Connection", "close")
		writeError(w, http.StatusRequestEntityTooLarge, "the body is too large")
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
	if !isPage(r) && !g.permit(w, r) {
		return
	}
	if isStream(r) {
		g.hold(g.streams, w, r)
		return
	}
	g.hold(g.slots, w, r)
}

// permit reports whether r may do what it asks for, and else answers it.
func (g *guard) permit(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	switch may := g.access.of(r); {
	case may == nobody:
		if g.guesses != nil && r.Header.Get("Authorization") != "" {
			client, _ := netip.ParseAddrPort(r.RemoteAddr)
			if wait := g.guesses.Take(g.guesses.Addr(client.Addr()), time.Now()); wait > 0 {
				g.turnAway(r, refusedGuess, &g.unauthorized)
				h.Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
				writeError(w, http.StatusTooManyRequests, "too many wrong tokens")
				return false
			}
		}
		g.turnAway(r, refusedToken, &g.unauthorized)
		h.Set("WWW-Authenticate", "Bearer")
		writeError(w, http.StatusUnauthorized, "a valid bearer token is needed")
		return false
	case may == reads && !mayRead(r):
		g.turnAway(r, refusedRole, &g.unauthorized)
		h.Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		writeError(w, http.StatusForbidden, "this token only looks; it changes nothing and takes no profiles")
		return false
	}
	return true
}

// turnAway counts a request that does not pass, and logs some of them.
func (g *guard) turnAway(r *http.Request, why string, t *throttle.Throttle) {
	g.refused.add(why)
	if ok, dropped := t.Allow(time.Now()); ok {
		msg := "a request to the control plane was refused"
		if why == refusedToken {
			msg = "a request to the control plane had no valid token"
		}
		g.logger.Warn(msg, "listener", "admin", "reason", why, "client", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "more", dropped)
	}
}

// hold passes r on while it has a place.
func (g *guard) hold(slots chan struct{}, w http.ResponseWriter, r *http.Request) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	default:
		g.refused.add(refusedOverload)
		if ok, dropped := g.overload.Allow(time.Now()); ok {
			g.logger.Warn("too many requests to the control plane at a time",
				"listener", "admin", "max_requests", cap(slots), "more", dropped)
		}
		w.Header().Set("Retry-After", "1")
		writeError(w, http.StatusServiceUnavailable, "too many requests at a time")
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
