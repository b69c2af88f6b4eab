package tracing

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"time"
)

// The identifiers of W3C trace context. A zero one is none.
type (
	TraceID [16]byte
	SpanID  [8]byte
)

func (t TraceID) String() string { return hex.EncodeToString(t[:]) }
func (s SpanID) String() string  { return hex.EncodeToString(s[:]) }

// NewTraceID returns a random identifier.
func NewTraceID() (t TraceID) {
	binary.BigEndian.PutUint64(t[:], rand.Uint64())
	binary.BigEndian.PutUint64(t[8:], rand.Uint64()|1) // it must not be zero
	return t
}

// NewSpanID returns a random identifier.
func NewSpanID() (s SpanID) {
	binary.BigEndian.PutUint64(s[:], rand.Uint64()|1)
	return s
}

// Span is what became of a request that is sampled: a span of its own, as its
// client sees it, and one of what was asked of backends for it. It is its owner's
// until it is added.
type Span struct {
	Trace  TraceID
	Parent SpanID // of the client's; zero for a trace that begins here
	State  string // its tracestate
	ID     SpanID
	Start  time.Time
	End    time.Time

	Request  Request
	Outcome  Outcome
	Upstream Upstream

	// Histograms are the metrics, with labels, that its duration counts in.
	Histograms []string
}

// Request is what was asked, and by whom.
type Request struct {
	Method, Host, Path, Query string
	Protocol                  string // such as 1.1
	Secure                    bool
	UserAgent, ID             string
	Client                    netip.AddrPort
	For                       netip.Addr // whom the client, a trusted proxy, speaks for
	Listener                  string
	Route                     string // host and path; empty if there was none
	Service                   string
}

// Outcome is how it ended.
type Outcome struct {
	Status   int
	Reason   string // of the closed set of the access log; empty if all was well
	Failed   bool   // by sluice or a backend
	Err      string
	GRPC     int // the status of a call of gRPC, or -1
	In, Out  int64
	Upgraded bool
}

// Upstream is what was asked of backends.
type Upstream struct {
	ID       SpanID
	Start    time.Time // when the first was chosen; zero if none was
	Backend  string    // the address of the one that served it, or was tried last
	Protocol string    // that is spoken with it
	Strategy string
	Retries  []Retry
}

// Retry is an attempt that came to nothing, and was followed by another.
type Retry struct {
	At      time.Time
	Backend string
	Reason  string
	Err     string
}
