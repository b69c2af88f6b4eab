// Package l7 is the HTTP front: one set of decisions, and the drivers that move
// bytes by them.
//
//   - l7/http1 is the codec of HTTP/1.x: bytes in, values out.
//   - l7/gate decides what becomes of a request, and keeps its books.
//   - l7/mirror sends copies of requests to a second service.
//   - l7/loop is a driver: connections live in event loops (pkg/reactor).
//
// Imports point one way: a driver knows the gate, the gate the codec, and none of
// them another driver. This package has nothing of its own but the names by which
// listeners are configured, and a test suite that holds every driver to the same
// behaviour.
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
	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/l7/loop"
	"sluice/pkg/htpasswd"
	"sluice/pkg/listen"
)

// A listener, and what is decided about its requests.
type (
	Config   = loop.Config
	Server   = loop.Server
	Origins  = gate.Origins
	Timeouts = gate.Timeouts
	Bounds   = gate.Bounds
	HTTPS    = gate.HTTPS
)

// New returns a Server for a listener; see loop.New.
func New(ln *listen.Listener, cfg Config) (*Server, error) { return loop.New(ln, cfg) }

// NewInstance returns a name for a process that no other has.
func NewInstance() string { return gate.NewInstance() }

// NewAuth returns an Auth for the users of a file; see gate.NewAuth.
func NewAuth(file *htpasswd.File, realm string, forward bool) (*Auth, error) {
	return gate.NewAuth(file, realm, forward)
}

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
)

// NewPolicy returns the policy of a service; see gate.NewPolicy.
func NewPolicy(cfg PolicyConfig) (*Policy, error) { return gate.NewPolicy(cfg) }
