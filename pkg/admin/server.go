package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/backend"
	"sluice/pkg/config"
	"sluice/pkg/control"
	"sluice/pkg/copilot"
	"sluice/pkg/limit"
	"sluice/pkg/metricset"
)

const (
	readHeaderTimeout = 5 * time.Second
	bodyTimeout       = 5 * time.Second  // for a body, which nothing here needs
	writeTimeout      = 30 * time.Second // profiles get it on top of their own time
	idleTimeout       = time.Minute
	maxHeaderBytes    = 16 << 10
	maxBodyBytes      = 1 << 20
	maxRequests       = 64 // at a time
	maxStreams        = 32 // of events, at a time
	defaultMaxConns   = 256
)

// Service is a service whose backends are shown.
type Service struct {
	// Pool holds the service's backends. It must not be nil.
	Pool *backend.Pool
	// Strategy returns the name of the strategy in force; it must be safe for
	// concurrent use. nil shows none.
	Strategy func() string
	// Switches returns how often the strategy was switched; it must be safe for
	// concurrent use. nil shows 0.
	Switches func() uint64
	// Sources tells how the sources of its members are doing; it must be safe
	// for concurrent use. nil shows none.
	Sources func() []Source
}

// Source is where the members of a service come from, and how that is doing.
type Source struct {
	// Source names it, for instance "consul 127.0.0.1:8500".
	Source string
	// Trouble is what is wrong; empty while all is well.
	Trouble string
	// Since is when the trouble began.
	Since time.Time
	// Kept is how many members are in use that the source does not vouch for.
	Kept int
}

// Readiness says whether new clients should come here, and if not, why.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`
	// Details are what is wrong without making clients go elsewhere.
	Details []string `json:"details,omitempty"`
}

// Page is something that is answered at a path, by GET and HEAD.
type Page struct {
	Path, About string
	Params      []PageParam
	Handler     http.Handler
}

// PageParam is a parameter of a Page's query, for the document that describes it.
type PageParam struct{ Name, About, Kind string } // string, integer or boolean; empty: string

// Config describes the control plane.
type Config struct {
	// Address is host:port, or a unix socket as config.ParseUnix reads it; port 0 lets
	// the kernel choose. An address that is not loopback needs a token, TLS with
	// client certificates, or AllowInsecure.
	Address string
	// Listener listens there already; the server then owns it. nil has it bound.
	Listener *net.TCPListener
	// Successor says that a process that listens on the unix socket hands over to
	// this one.
	Successor bool
	// TLS is spoken with clients; nil means none.
	TLS *tls.Config
	// Token is what a client must send as "Authorization: Bearer TOKEN" for
	// everything but /healthz and /readyz, and TokenFile a file with it, which is
	// read again when it changes. With neither of these nor of the next two,
	// none is needed.
	Token, TokenFile string
	// ReadToken and ReadTokenFile are the same of a token that only looks.
	ReadToken, ReadTokenFile string
	// AllowInsecure permits an address that is not loopback without a token.
	// Whoever can reach it then sees everything.
	AllowInsecure bool
	// Version is the program's version, shown by the index, and Started when it
	// began; zero means now.
	Version string
	Started time.Time
	// Services returns what /admin/backends and /metrics show, as it is now; of
	// several with one name the first counts. It must be safe for concurrent
	// use. nil means that there are none.
	Services func() []Service
	// Settings is what /admin/config shows without a Plane, encoded as JSON for
	// each request. Secrets in it must be masked already.
	Settings any
	// Plane is what runs, and Book takes the orders of operators; without both,
	// nothing can be changed and few questions are answered.
	Plane Plane
	Book  *control.Book
	// Fleet lists the sluices of the fleet; nil means that there is none.
	Fleet func(context.Context) (name string, tasks []control.Task, err error)
	// Prices returns what /admin/cost reckons with; it may take a while. nil
	// means that nothing costs anything.
	Prices func() Prices
	// Copilot answers questions; nil means nobody does.
	Copilot *copilot.Copilot
	// Ready answers /readyz; it must be quick and safe for concurrent use. nil
	// means always ready.
	Ready func() Readiness
	// Metrics is what /metrics shows beside the process's own metrics and
	// those of the backends. It must not be nil.
	Metrics MetricsWriter
	// Exemplar finds those of its histograms, for who asks for OpenMetrics; nil
	// means that there are none.
	Exemplar metricset.Exemplar
	// Beside is what else is answered.
	Beside []Page
	// Counters gets the metrics of the control plane itself; nil means nobody.
	Counters *metrics.Set
	// MaxConns is how many connections may be open at once; those that wait for
	// a request make room for new ones. 0 means 256.
	MaxConns int
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
}

// Server is a bound control plane. All methods are safe for concurrent use.
type Server struct {
	ln      net.Listener
	tcp     *net.TCPListener // under ln; nil for a unix socket
	http    *http.Server
	logger  *slog.Logger
	warning string // what Serve says of the configuration; may be empty

	// cancel ends the context of every request, and with it the profiles that
	// are being taken.
	cancel context.CancelFunc
}

// New binds the control plane and starts nothing; connections wait until
// Serve. The caller calls Shutdown, even if Serve was never called.
func New(cfg Config) (*Server, error) {
	if _, err := json.Marshal(cfg.Settings); err != nil {
		return nil, fmt.Errorf("cannot encode the settings: %w", err)
	}
	g := guard{logger: cfg.Logger, slots: make(chan struct{}, maxRequests), streams: make(chan struct{}, maxStreams)}
	if err := g.admit(cfg); err != nil {
		return nil, err
	}
	unix, isUnix, err := config.ParseUnix(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("cannot use --admin %q: %w", cfg.Address, err)
	}
	var ln net.Listener
	exposed := false
	if isUnix {
		ln, err = listenUnix(unix, cfg.Successor)
	} else {
		ln, exposed, err = g.listenTCP(cfg)
	}
	if err != nil {
		return nil, err
	}
	tcp, _ := ln.(*net.TCPListener)
	if cfg.TLS != nil {
		ln = tls.NewListener(ln, cfg.TLS)
	}
	g.next = routes(cfg)
	s := newServer(ln, cfg.MaxConns, &g, cfg.Logger)
	s.tcp = tcp
	if exposed {
		s.warning = "the control plane is open to whoever can reach it; set --admin-token"
	}
	return s, nil
}

// admit sets who may do what.
func (g *guard) admit(cfg Config) (err error) {
	troubled := func(flag string) func(error) {
		return func(err error) {
			cfg.Logger.Warn("cannot read the token of the control plane again; the last one stays", "flag", "--"+flag+"-file", "err", err)
		}
	}
	if g.access.all, err = newSecret("admin-token", Token{cfg.Token, cfg.TokenFile}, troubled("admin-token")); err != nil {
		return err
	}
	if g.access.read, err = newSecret("admin-read-token", Token{cfg.ReadToken, cfg.ReadTokenFile}, troubled("admin-read-token")); err != nil {
		return err
	}
	if g.access.needed() {
		g.guesses = limit.NewRate(guessRate, guessBurst)
	}
	if cfg.Counters != nil {
		g.refused = newRefusals(cfg.Counters)
	}
	return nil
}

// listenTCP binds a TCP address and reports whether everybody who can reach it
// may do everything.
func (g *guard) listenTCP(cfg Config) (ln net.Listener, exposed bool, err error) {
	addr, err := net.ResolveTCPAddr("tcp", cfg.Address)
	if err != nil {
		return nil, false, fmt.Errorf("cannot resolve --admin %q: %w", cfg.Address, err)
	}
	loopback := addr.IP.IsLoopback() // a nil IP means all addresses
	byCertificate, _ := demands(cfg.TLS)
	exposed = !loopback && !g.access.needed() && !byCertificate
	if exposed && !cfg.AllowInsecure {
		return nil, false, fmt.Errorf("cannot listen on --admin %q: it can be reached from other hosts; set --admin-token, or use a loopback address", cfg.Address)
	}
	if cfg.Listener != nil {
		ln = cfg.Listener
	} else if ln, err = net.ListenTCP("tcp", addr); err != nil {
		return nil, false, fmt.Errorf("cannot listen on --admin %q: %w", cfg.Address, err)
	}
	if loopback {
		g.hosts = allowedHosts(cfg.Address)
	}
	return ln, exposed, nil
}

// NewHealth binds a server of nothing but /healthz and /readyz, for probes
// from other hosts, and starts nothing. See Config for maxConns, ready and logger, and
// New for what the caller does. A listener that listens at address already may be
// given; the server then owns it.
func NewHealth(address string, ln *net.TCPListener, maxConns int, ready func() Readiness, logger *slog.Logger) (*Server, error) {
	if ln == nil {
		bound, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on --health-addr %q: %w", address, err)
		}
		ln = bound.(*net.TCPListener)
	}
	mux := newRouter()
	addHealth(mux, ready)
	g := guard{next: mux, logger: logger, slots: make(chan struct{}, maxRequests)}
	s := newServer(ln, maxConns, &g, logger)
	s.tcp = ln
	return s, nil
}

func newServer(ln net.Listener, maxConns int, h http.Handler, logger *slog.Logger) *Server {
	if maxConns == 0 {
		maxConns = defaultMaxConns
	}
	bound := &conns{most: maxConns, open: make(map[net.Conn]bool)}
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		ln:     ln,
		logger: logger,
		cancel: cancel,
		http: &http.Server{
			Handler:                      h,
			DisableGeneralOptionsHandler: true, // "OPTIONS *" meets the guard too
			ReadHeaderTimeout:            readHeaderTimeout,
			WriteTimeout:                 writeTimeout,
			IdleTimeout:                  idleTimeout,
			ConnState:                    bound.track,
			MaxHeaderBytes:               maxHeaderBytes,
			BaseContext:                  func(net.Listener) context.Context { return ctx },
			ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		},
	}
}

// sorted returns the services there are now by name, each name once.
func sorted(services func() []Service) []Service {
	if services == nil {
		return nil
	}
	all := slices.Clone(services())
	name := func(s Service) string { return s.Pool.Service() }
	slices.SortStableFunc(all, func(a, b Service) int { return strings.Compare(name(a), name(b)) })
	return slices.CompactFunc(all, func(a, b Service) bool { return name(a) == name(b) })
}

// Addr returns the bound address.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Listener returns the listening socket, which stays the server's.
func (s *Server) Listener() *net.TCPListener { return s.tcp }

// Serve answers requests until Shutdown, and then returns nil without waiting
// for requests in progress. It is called once.
func (s *Server) Serve() error {
	if s.warning != "" {
		s.logger.Warn(s.warning, "listener", "admin", "addr", s.ln.Addr().String())
	}
	err := s.http.Serve(s.ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops accepting, ends profiles that are being taken with what they
// have, and waits for the requests in progress. If ctx ends first it cuts
// their connections and returns ctx's error. It is idempotent.
func (s *Server) Shutdown(ctx context.Context) error {
	s.cancel()
	err := s.http.Shutdown(ctx)
	s.ln.Close() // net/http does not know it if Serve never ran
	if err != nil {
		s.http.Close()
		return err
	}
	return nil
}
