package admin

import (
	"context"
	"net/netip"
	"time"

	"sluice/pkg/control"
)

// Plane is what runs, as the control plane shows and changes it. All methods
// are safe for concurrent use and quick, unless they take a context.
type Plane interface {
	control.Running

	// Settings returns the settings that are in force, secrets masked, ready to
	// be encoded as JSON.
	Settings() any
	// Differences says what another overlay than that in force makes otherwise.
	Differences(before, after control.Overlay) []Difference
	// Apply waits until what runs is as an overlay of the book says that has this
	// tag, or a later one, and returns why it cannot be.
	Apply(ctx context.Context, tag string) error
	// Reload reads the configuration again and applies what is otherwise; of a
	// dry run it says so only.
	Reload(ctx context.Context, order ReloadOrder) (Reloaded, error)

	// RouteList returns the routes in the order in which they are tried.
	RouteList() []RouteView
	// ListenerList returns the listeners.
	ListenerList() []ListenerView
	// Connections returns those open connections of clients that a filter means,
	// at most limit after the first offset, and how many there are.
	Connections(f ConnectionFilter, offset, limit int) ([]ConnectionView, int)
	// EndConnection closes a connection and reports whether there was one.
	EndConnection(id string) bool
	// Limits returns every limit of listeners and services in force.
	Limits() []LimitView
	// Explain says what would become of a connection or request.
	Explain(q Question) (Explanation, error)
	// Selftest tries everything out.
	Selftest(ctx context.Context) Selftest
}

// Difference is one thing that is otherwise than before.
type Difference struct {
	What   string `json:"what"`
	Before string `json:"before"` // empty: nothing
	After  string `json:"after"`  // empty: nothing
}

// ReloadOrder is who asks for a reload and why.
type ReloadOrder struct {
	By, Reason string
	DryRun     bool
}

// Reloaded is what a reload did, or would do.
type Reloaded struct {
	DryRun      bool         `json:"dry_run"`
	Differences []Difference `json:"differences"`
	// Restart names the settings that are otherwise and need a restart.
	Restart []string `json:"need_restart"`
}

// RouteView is a route as it is shown.
type RouteView struct {
	Route   string `json:"route"` // its key, by which it is changed
	Host    string `json:"host"`
	Path    string `json:"path"`
	Method  string `json:"method"` // those that are meant; empty: all
	Service string `json:"service"`
	Canary  string `json:"canary,omitempty"` // SERVICE:PERCENT
	// Spec is the line of --route.
	Spec string `json:"spec"`
	// Source is configuration, tags or operator.
	Source   string `json:"source"`
	Requests uint64 `json:"requests_total"`
	// AverageMilliseconds is the mean time of a request; 0 if there was none.
	AverageMilliseconds float64 `json:"average_latency_ms"`
}

// ListenerView is a listener as it is shown.
type ListenerView struct {
	Listener string   `json:"listener"` // its key, by which it is changed
	Kind     string   `json:"kind"`     // l4 or l7
	Address  string   `json:"address"`  // that it is bound to
	Services []string `json:"services"`
	TLS      bool     `json:"tls"`
	Open     int      `json:"open_connections"`
	// Spec is the line of its flag; empty if tags ask for it.
	Spec   string `json:"spec"`
	Source string `json:"source"` // configuration, tags or operator
}

// ConnectionFilter says which connections are meant; what is empty means all.
type ConnectionFilter struct {
	Service, Listener string
	Backend           string
	Client            netip.Prefix
}

// ConnectionView is a connection of a client that is open.
type ConnectionView struct {
	ID       string    `json:"id"`
	Client   string    `json:"client"`
	Listener string    `json:"listener"`
	Kind     string    `json:"kind"` // l4 or l7
	Service  string    `json:"service,omitempty"`
	Backend  string    `json:"backend,omitempty"`
	Since    time.Time `json:"since"`
	Age      float64   `json:"age_seconds"`
}

// Question is a connection or request of which it is asked what would become of
// it.
type Question struct {
	Client   netip.Addr
	Listener string // key or address; empty: the one that fits
	Method   string // empty: GET
	Host     string
	Path     string
	Headers  map[string]string
	Service  string // of TCP, or to skip routing
	// RequestID asks for what became of a real request instead.
	RequestID string
}

// Explanation is the answer to a Question.
type Explanation struct {
	Listener string             `json:"listener"`
	Route    string             `json:"route"`
	Service  string             `json:"service"`
	Strategy string             `json:"strategy"`
	Verdict  string             `json:"verdict"` // in words: what would become of it
	Steps    []string           `json:"steps"`   // how that was found, in order
	Picked   string             `json:"picked"`  // address; empty if nobody would be
	Backends []ExplainedBackend `json:"backends"`
	Limits   []LimitView        `json:"limits"`
	Requests []ExplainedRequest `json:"requests,omitempty"`
}

// ExplainedBackend is a backend as a pick sees it.
type ExplainedBackend struct {
	Address  string  `json:"address"`
	Eligible bool    `json:"eligible"`
	Reason   string  `json:"reason"` // why not, or why all the same
	Weight   int     `json:"weight"`
	Active   int64   `json:"active"`
	Distrust float64 `json:"distrust"`
	// LatencyMilliseconds is what the strategy compares, where it compares
	// latencies; 0 if nothing is known.
	LatencyMilliseconds float64 `json:"latency_ms"`
	ErrorRate           float64 `json:"error_rate"`
	Warmth              float64 `json:"warmth"`
	// Share is the part of picks that it got when the pick was tried out many
	// times, 0 to 1.
	Share float64 `json:"share"`
}

// LimitView is a limit in force.
type LimitView struct {
	Limit string `json:"limit"`
	Of    string `json:"of"` // whose it is
	Value string `json:"value"`
	Now   string `json:"now"` // how far it is used; empty if that is not known
	// Fleet is what it is for all sluices of the fleet together, of which Value
	// is the part of this one, and Tasks by how many it is divided; empty if it is
	// for this one alone.
	Fleet string `json:"fleet,omitempty"`
	Tasks int    `json:"fleet_tasks,omitempty"`
}

// ExplainedRequest is what became of a real request.
type ExplainedRequest struct {
	At        time.Time `json:"at"` // when it began
	RequestID string    `json:"request_id"`
	Client    string    `json:"client"`
	Listener  string    `json:"listener"`
	Route     string    `json:"route"`
	Service   string    `json:"service"`
	Strategy  string    `json:"strategy"`
	Status    int       `json:"status"`
	Reason    string    `json:"reason"` // why it was not served as it should have been; empty if it was
	Duration  float64   `json:"duration_ms"`
	// Attempts are those made at getting a response, in order, without Lost of
	// them before the last one.
	Attempts []ExplainedAttempt `json:"attempts"`
	Lost     int                `json:"attempts_lost"`
}

// ExplainedAttempt is an attempt at getting a response from a backend.
type ExplainedAttempt struct {
	Backend string  `json:"backend"`
	Result  string  `json:"result"` // answered, or why it did not
	After   float64 `json:"ended_after_ms"`
}

// Selftest is whether everything works.
type Selftest struct {
	OK      bool         `json:"ok"`
	Verdict string       `json:"verdict"` // in words
	Checks  []TestResult `json:"checks"`
}

// TestResult is the result of one thing that was tried.
type TestResult struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Detail  string  `json:"detail"`
	Elapsed float64 `json:"elapsed_seconds"`
}
