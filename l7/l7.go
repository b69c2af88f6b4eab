// Package l7 is the HTTP front: one set of decisions, and the drivers that move
// bytes by them.
//
//   - l7/http1 is the codec of HTTP/1.x: bytes in, values out.
//   - l7/gate decides what becomes of a request, and keeps its books.
//   - l7/mirror sends copies of requests to a second service.
//   - l7/loop is a driver: connections live in event loops (pkg/reactor).
//   - l7/h2 is HTTP/2 in them, as streams of HTTP/1.1.
//   - l7/plain serves one request as straight-line code in one goroutine, for
//     fronts that bring their own server.
//   - l7/fast is the other driver, such a front: fasthttp.Server.
//
// Imports point one way: a driver knows the gate, the gate the codec, and none of
// them another driver. This package has nothing of its own but the names by which
// listeners are configured, the choice of a driver, and a test suite that holds
// every driver to the same behaviour.
//
// # Choices
//
//   - Both Content-Length and Transfer-Encoding, or any Transfer-Encoding but
//     chunked: 400.
//   - Paths are routed in one form: unreserved bytes decoded, dot segments
//     resolved, empty ones left out. That is what is forwarded where a policy
//     hangs on the route; else paths go on as they came, but for dot segments. What
//     servers read differently, an encoded slash, a backslash, a semicolon, passes
//     if no reading of it is another route's. A path that leads above its root, has
//     a "%" that begins no encoding, an overlong one, or NUL: 400.
//   - X-Forwarded-*, Forwarded, X-Real-IP and X-Request-ID are believed from
//     trusted proxies only; from anybody else they are replaced or dropped, as
//     Envoy does at an edge. Names that differ from those, or from a hop-by-hop
//     header, by "_" for "-" are dropped.
//   - Trailers are passed on behind a chunked body, but for fields that frame,
//     route, authenticate or describe the message, other than by its digest; what
//     is dropped is not announced either. Chunk extensions are not passed on.
//   - Statuses from 600 are passed on, and are no failure of a backend.
//   - 1xx responses are passed on, up to 16 of them; but 100 Continue is
//     sluice's own, sent when the request was routed, and Expect is not passed
//     on.
//   - A request body with a length of up to 8 KiB is awaited before a backend
//     is picked: so slow a client costs no backend anything, and the request
//     can be sent again.
//   - An HTTP/1.0 client gets a response of unknown length until the end of its
//     connection.
//   - A reset by the client cancels its request at once. The end of its
//     direction alone may mean that it has said everything and listens; it is
//     taken for gone when it got no byte of a response for FINTimeout.
package l7

import (
	"context"

	"sluice/l7/fast"
	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/l7/loop"
	"sluice/l7/plain"
	"sluice/pkg/htpasswd"
	"sluice/pkg/listen"
	"sluice/pkg/pause"
	"sluice/pkg/reactor"
)

// Driver is what moves the bytes of a listener's connections.
type Driver uint8

// The drivers. Auto is Loop where loops have sockets of their own, which is on
// Linux, and else Fasthttp.
const (
	Auto Driver = iota
	Loop
	Fasthttp
)

// Config describes an HTTP listener.
type Config struct {
	gate.Config
	// Driver serves its connections.
	Driver Driver
	// Loops are where connections live, or those of Fasthttp that have no
	// request. They must be running, and outlive the server.
	Loops *reactor.Group
	// IdleRoom is how many connections to backends a loop may have beyond one
	// for each of its clients, or for Fasthttp how many of them may be idle,
	// reckoned for each loop. Idle ones are closed for it. 0 means any number.
	IdleRoom int
	// Pauses knows when the process did not run, for a driver without loops. Nil
	// means that it always does.
	Pauses *pause.Watch
	// HTTP2 says how HTTP/2 is spoken, which Loop does alone.
	HTTP2 HTTP2
}

// InLoops reports whether connections that carry something live in the loops.
func (d Driver) InLoops() bool { return d == Loop || d == Auto && reactor.HasSockets }

// SpeaksHTTP2 reports whether a driver does.
func (d Driver) SpeaksHTTP2() bool { return d.InLoops() }

// Server serves the HTTP requests of one listener.
type Server interface {
	// Serve accepts and serves connections until the listener is closed, by
	// Shutdown or otherwise, and then returns nil. Connections outlive it.
	Serve() error
	// SetRoutes replaces all routes at once, for the requests that come from now
	// on; those under way are not touched. The error names every route that
	// cannot be used, and then nothing has changed. Without any routes every
	// request is answered with 404.
	SetRoutes([]Route) error
	// Drain makes every response from now on the last one on its connection.
	// Connections are still accepted. It does not block.
	Drain()
	// Shutdown stops accepting without losing a queued connection, closes the
	// connections that have no request at once, and waits until the others, those
	// that switched protocols among them, have ended or ctx ends. Then it cuts
	// those that are left and returns how many they were. Serve must be running.
	Shutdown(ctx context.Context) (cut int)
}

// What is decided about the requests of a listener.
type (
	HTTP2    = loop.HTTP2
	Origins  = gate.Origins
	Timeouts = gate.Timeouts
	Bounds   = gate.Bounds
	HTTPS    = gate.HTTPS
)

// New returns a Server for ln. It starts nothing. The error names every route
// that cannot be used.
func New(ln *listen.Listener, cfg Config) (Server, error) {
	if !cfg.Driver.InLoops() {
		return fast.NewServer(ln, fast.Config{
			Config: plain.Config{Config: cfg.Config, IdleRoom: cfg.IdleRoom * len(cfg.Loops.Loops()), Pauses: cfg.Pauses},
			Loops:  cfg.Loops,
		})
	}
	return loop.New(ln, loop.Config{Config: cfg.Config, Loops: cfg.Loops, IdleRoom: cfg.IdleRoom, HTTP2: cfg.HTTP2})
}

// NewInstance returns a name for a process that no other has.
func NewInstance() string { return gate.NewInstance() }

// NewAuth returns an Auth for the users of a file; see gate.NewAuth.
func NewAuth(file *htpasswd.File, realm string, forward bool) (*Auth, error) {
	return gate.NewAuth(file, realm, forward)
}

// A request of which it is asked what would become of it, and the answer.
type (
	Probe     = gate.Probe
	Foresight = gate.Foresight
)

// Routes.
type (
	Route       = gate.Route
	HeaderMatch = gate.HeaderMatch
	Canary      = gate.Canary
	Mirror      = gate.Mirror
	Redirect    = gate.Redirect
	PathPolicy  = http1.PathPolicy
	PathRule    = http1.PathRule
	PathForm    = gate.PathForm
)

// How paths are read, and forwarded.
const (
	PathCheck  = http1.PathCheck
	PathKeep   = http1.PathKeep
	PathDecode = http1.PathDecode
	PathReject = http1.PathReject

	PathAuto       = gate.PathAuto
	PathNormalized = gate.PathNormalized
	PathRaw        = gate.PathRaw
)

// What is set for a service, and for whoever else may set it.
type (
	Policy       = gate.Policy
	PolicyConfig = gate.PolicyConfig
	ClientRate   = gate.ClientRate
	Recent       = gate.Recent
	Past         = gate.Past
	Waits        = gate.Waits
	Sticky       = gate.Sticky
	StickyBy     = gate.StickyBy
	Cookie       = gate.Cookie
	Reuse        = gate.Reuse
	Toggle       = gate.Toggle
	Auth         = gate.Auth
	LogField     = gate.LogField
	LogOf        = gate.LogOf
)

// Their values.
const (
	NotSticky    = gate.NotSticky
	StickyClient = gate.StickyClient
	StickyHeader = gate.StickyHeader
	StickyCookie = gate.StickyCookie

	ReuseAlways = gate.ReuseAlways
	ReuseSafe   = gate.ReuseSafe
	ReuseNever  = gate.ReuseNever

	Inherit = gate.Inherit
	On      = gate.On
	Off     = gate.Off

	LogQuery    = gate.LogQuery
	LogUser     = gate.LogUser
	LogRequest  = gate.LogRequest
	LogResponse = gate.LogResponse

	RecentRequests = gate.RecentRequests
)

// NewPolicy returns the policy of a service; see gate.NewPolicy.
func NewPolicy(cfg PolicyConfig) (*Policy, error) { return gate.NewPolicy(cfg) }

// NewRecent returns what remembers the last requests of the servers that share it.
func NewRecent() *Recent { return gate.NewRecent() }
