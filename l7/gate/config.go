package gate

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/http1"
	"sluice/pkg/accesslog"
	"sluice/pkg/headeredit"
	"sluice/pkg/limit"
	"sluice/pkg/tracing"
)

// Config describes what is decided about the requests of a listener. Its
// embedded parts are groups of settings, and no more than that.
type Config struct {
	// Routes says which service gets a request; see Gate.SetRoutes.
	Routes []Route
	// Paths says how the paths of requests are read, and PathForm in which form
	// they are forwarded where a route does not say.
	Paths    http1.PathPolicy
	PathForm PathForm
	// Instance names this process, so that a request which comes back to a
	// service that it was forwarded to is known and refused. Servers whose
	// routes may lead to each other need the same. Empty means one of its own.
	Instance string

	Origins
	Timeouts
	Bounds
	HTTPS

	// AccessLog takes a record of every request when it has ended. Nil means
	// that nobody does.
	AccessLog *accesslog.Log
	// LogFields are what such a record has beside what all have.
	LogFields []LogField
	// Recent remembers what became of requests. Nil means that nobody does.
	Recent *Recent
	// Tracer takes a span of every request that is sampled, when it has ended. Nil
	// means that nobody does.
	Tracer *tracing.Tracer
	// EarlyHints says whether 103 and other interim responses of backends are
	// passed on, where neither route nor service says.
	EarlyHints Toggle
	// Auth says who is let in, where the route does not say.
	Auth *Auth
	// RequestHeaders are made on the head that a backend gets, and
	// ResponseHeaders on the one that a client gets, before those of the service
	// and of the route.
	RequestHeaders, ResponseHeaders headeredit.Edits
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
	// Metrics takes the counters of the listener, and of services whose routes
	// have no Policy. It must not be nil.
	Metrics *metrics.Set

	// OnService is for the driver: it is told of each service that routes begin
	// to lead to, and what it returns is called when none leads there any more.
	// Neither may call the Gate. Nil means that nobody wants to know.
	OnService func(*Service) (left func())
}

// Origins says whose word is taken on where requests come from, and what
// backends are told of it.
type Origins struct {
	// TrustedProxies are the networks of peers whose X-Forwarded-*, Forwarded,
	// X-Real-IP and X-Request-ID are believed and kept; from others they are
	// replaced or removed. Empty means that nobody's are.
	TrustedProxies []netip.Prefix
	// Forwarded says the origin of a request in a Forwarded header (RFC 7239),
	// beside X-Forwarded-*, and the same.
	Forwarded bool
	// TraceShare is the part, 0 to 1, of the requests without a W3C trace that
	// begin one which is sampled; the others begin one which is not. 0 means
	// that none begin one, which leaves it to backends.
	TraceShare float64
	// ClientCerts says that the listener asks TLS clients for certificates, and
	// verifies them: backends are told of them, and of nobody else's word.
	ClientCerts bool
}

// Timeouts are what a listener gives everybody time for.
type Timeouts struct {
	// ConnectTimeout bounds one attempt to connect to a backend. 0 means 2 s,
	// negative no limit but the system's.
	ConnectTimeout time.Duration
	// ConnectDeadline bounds all attempts of one request to connect. 0 means 5 s,
	// negative no limit.
	ConnectDeadline time.Duration
	// HeadTimeout bounds the time from the first byte of a request's head, or
	// from the connection's beginning, to the head's end, however slowly it
	// drips. 0 means 10 s, negative no limit.
	HeadTimeout time.Duration
	// BodyTimeout bounds how long no byte of a body may move, in a request or
	// in a response. 0 means 60 s, negative no limit.
	BodyTimeout time.Duration
	// ResponseTimeout bounds the wait for a backend's response once the whole
	// request was sent. 0 means 60 s, negative no limit.
	ResponseTimeout time.Duration
	// IdleTimeout is how long a client's connection is kept without a request.
	// 0 means 75 s, negative for ever.
	IdleTimeout time.Duration
	// FINTimeout is how long a client that has ended its direction after its
	// request waits for the next byte of the response; then it is taken for
	// gone. 0 means 1 s, negative that its end means nothing.
	FINTimeout time.Duration
	// UpgradeIdleTimeout is how long no byte may move on a connection that has
	// switched protocols, in either direction. 0 means 1 h, negative for ever.
	UpgradeIdleTimeout time.Duration
	// UpgradeFINTimeout is the same once one side has ended its direction. 0
	// means 1 min, negative as UpgradeIdleTimeout.
	UpgradeFINTimeout time.Duration
	// TotalTimeout bounds a request and its response altogether, from the head
	// on. 0 or less means no limit.
	TotalTimeout time.Duration
	// LingerTimeout is how long a client may send nothing that goes on sending
	// after its last response, and is listened to lest it loses that; LingerTime
	// bounds this altogether. 0 means 5 s and 10 min, negative no limit.
	LingerTimeout time.Duration
	LingerTime    time.Duration
}

// Bounds are what a listener lets clients have.
type Bounds struct {
	// Rate bounds the requests of each client; those beyond are answered with
	// 429. Nil means no bound. Clients are told apart by their address as
	// found by what trusted proxies say, or by the header RateHeader, a name in
	// lower case, if that is not empty and they send it.
	Rate       *limit.Rate
	RateHeader string
	// MaxBodyBytes bounds the body of a request; what is larger is answered
	// with 413. 0 or less means no bound.
	MaxBodyBytes int64
	// MaxFields bounds the header lines of a head, of a request and of a
	// response. 0 or less means 200.
	MaxFields int
	// MaxTargetBytes bounds the target of a request, in bytes. 0 or less means
	// 16 KiB.
	MaxTargetBytes int
	// MaxHeadBytes bounds the head of a request, in bytes. 0 or less means
	// 32 KiB. The head of a response may have as many, or 64 KiB if that is
	// more.
	MaxHeadBytes int
	// Retries is how many attempts may follow the first one of a request, where
	// another is safe. 0 means balance.MaxTries less one, see Waits; negative none.
	Retries int
	// RetryOn are the statuses of gRPC, a bit for each by its number, with which a
	// call is made again if a backend answers with nothing else: who sets it says
	// that they mean so.
	RetryOn int
	// MinBodyRate is how many bytes a second a client must send or take of a body
	// while it alone is waited for, over MinBodyRateOver. 0 means 64 over 20 s,
	// negative any number; if none moves at all BodyTimeout judges.
	MinBodyRate     int64
	MinBodyRateOver time.Duration
}

// HTTPS says what is asked of clients that do not use it, and of those that do.
type HTTPS struct {
	// RequireHTTPS sends clients that do not use HTTPS, with sluice or with a
	// trusted proxy, to HTTPSPort of the same host. 0 means 443.
	RequireHTTPS bool
	HTTPSPort    int
	// HSTS is for how long clients that use HTTPS are asked to use nothing else
	// for this host (RFC 6797). 0 means that they are not.
	HSTS time.Duration
}

// Forever stands for no limit. It is short enough to be added to any time.
const Forever = 100 * 365 * 24 * time.Hour

// leastResponseHead is how many bytes the head of a response may have in any case.
const leastResponseHead = 64 << 10

// WithDefaults returns c with what is left out filled in, and no limits as
// Forever.
func (c Config) WithDefaults() Config {
	for _, t := range []struct {
		d    *time.Duration
		zero time.Duration
	}{
		{&c.ConnectTimeout, 2 * time.Second},
		{&c.ConnectDeadline, 5 * time.Second},
		{&c.HeadTimeout, 10 * time.Second},
		{&c.BodyTimeout, 60 * time.Second},
		{&c.ResponseTimeout, 60 * time.Second},
		{&c.IdleTimeout, 75 * time.Second},
		{&c.FINTimeout, time.Second},
		{&c.UpgradeIdleTimeout, time.Hour},
		{&c.UpgradeFINTimeout, time.Minute},
		{&c.TotalTimeout, Forever},
		{&c.MinBodyRateOver, 20 * time.Second},
		{&c.LingerTimeout, 5 * time.Second},
		{&c.LingerTime, 10 * time.Minute},
	} {
		switch {
		case *t.d == 0:
			*t.d = t.zero
		case *t.d < 0 || *t.d > Forever:
			*t.d = Forever
		}
	}
	if c.MinBodyRate == 0 {
		c.MinBodyRate = defaultMinBodyRate
	}
	if c.Instance == "" {
		c.Instance = NewInstance()
	}
	if c.MaxHeadBytes <= 0 {
		c.MaxHeadBytes = 32 << 10
	}
	if c.MaxFields <= 0 {
		c.MaxFields = http1.MaxFields
	}
	if c.MaxTargetBytes <= 0 {
		c.MaxTargetBytes = http1.MaxTarget
	}
	return c
}

// MaxResponseHead returns how many bytes the head of a response may have.
func (b *Bounds) MaxResponseHead() int { return max(b.MaxHeadBytes, leastResponseHead) }
