package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l4"
	"sluice/l7"
	"sluice/pkg/accesslog"
	"sluice/pkg/config"
	"sluice/pkg/listen"
	"sluice/pkg/metricset"
	"sluice/pkg/pause"
	"sluice/pkg/proxyproto"
	"sluice/pkg/reactor"
)

// front is a listener with the server behind it.
type front struct {
	kind     string // l4 or l7
	leads    func(service string) bool
	listener *listen.Listener
	server   server
	metrics  *metricset.Shared // the listener's own

	// Below fronts.mu:
	started bool
	leaving bool // its listener closes, and it goes with its last connection
}

// server is what L4 and L7 have in common.
type server interface {
	// Serve accepts until the listener is closed.
	Serve() error
	// Shutdown stops accepting and waits for what is open until ctx ends; it
	// returns how many connections were cut then.
	Shutdown(ctx context.Context) (cut int)
}

// fronts are all listeners of the data path: those of the configuration, and
// TCP listeners that come and go. All methods are safe for concurrent use.
type fronts struct {
	config     *config.Config
	loops      *reactor.Group // nil if nothing uses them
	l4Loops    *reactor.Group // the same, or nil for the copy driver
	certs      keeper
	files      descriptors
	budget     *listen.Budget // of all listeners: of descriptors
	memory     *listen.Budget // and of memory
	processors *processors    // nil without loops
	access     *accesslog.Log
	sets       *metricset.Sets
	pauses     *pause.Watch // of the process
	logger     *slog.Logger
	wg         sync.WaitGroup // of servers

	// leaving ends when listeners that were taken away cut what is open.
	leaving context.Context
	cut     context.CancelFunc
	left    sync.WaitGroup // of those listeners
	lost    atomic.Int64   // connections of theirs that were cut

	// mu protects the fields below.
	mu      sync.Mutex
	all     []*front
	stopped bool // no listener is bound any more
}

// bindFronts binds every listener or none. All that cannot be bound is in the
// error.
func bindFronts(c *config.Config, services *services, access *accesslog.Log, sets *metricset.Sets, logger *slog.Logger) (*fronts, error) {
	fs := &fronts{config: c, access: access, sets: sets, pauses: services.pauses, logger: logger, certs: keeper{logger: logger}}
	sets.Main.RegisterMetricsWriter(fs.certs.write)
	limit := OpenFiles()
	loops := loopsFor(runtime.GOMAXPROCS(0), limit)
	var err error
	if fs.files, err = descriptorsOf(c, limit, loops); err != nil {
		return nil, err
	}
	fs.files.warn(c, logger)
	fs.budget, fs.memory = listen.NewBudget(fs.files.conns), listen.NewBudget(math.MaxInt)
	fs.leaving, fs.cut = context.WithCancel(context.Background())
	if epoll := (len(c.L4) > 0 || c.ConsulTags != "") && c.L4Driver != "copy"; epoll || len(c.L7) > 0 {
		if fs.loops, err = startLoops(loops, fs.files.pipes/2, logger); err != nil {
			return nil, err
		}
		fs.processors = newProcessors(loops, logger)
		if epoll {
			fs.l4Loops = fs.loops
		}
	}
	services.self.listeners = fs.own
	var problems []error
	for _, parts := range c.Listeners() {
		whole, name := config.Merged(parts), parts[0].Service
		var certs []config.Certificate
		var members []*service
		for _, l := range parts {
			certs = append(certs, l.Certificate)
			members = append(members, services.get(l.Service))
			if l.Service != name {
				name = l.Addr
			}
		}
		f, err := fs.bind("l4", name, whole.Addr, whole.ConnLimits, whole.ProxyIn, certs, whole.ALPN, func(ln *listen.Listener) (server, error) {
			return fs.newL4(ln, parts, members)
		})
		fs.setLeads(f, func(service string) bool { return leadTo(parts, service) })
		if err != nil {
			problems = append(problems, fmt.Errorf("--l4: %w", err))
		}
	}
	for _, l := range c.L7 {
		f, err := fs.bind("l7", l.Addr, l.Addr, l.ConnLimits, l.ProxyIn, []config.Certificate{l.Certificate}, nil, func(ln *listen.Listener) (server, error) {
			cfg := l7Config(c, l, services, fs.loops, access, sets.Main, logger)
			cfg.IdleRoom = max(1, fs.files.idle/len(fs.loops.Loops()))
			return l7.New(ln, cfg)
		})
		// Services that are not in the configuration are those of tags.
		fs.setLeads(f, func(service string) bool { return routed(c, service) || !slices.Contains(c.ServiceNames(), service) })
		if err != nil {
			problems = append(problems, fmt.Errorf("--l7: %w", err))
		}
	}
	if len(problems) > 0 {
		fs.close()
		return nil, errors.Join(problems...)
	}
	return fs, nil
}

// bind binds a listener and makes its server.
func (fs *fronts) bind(kind, name, addr string, limits config.ConnLimits, proxied config.ProxyIn, certs []config.Certificate, alpn []string, serve func(*listen.Listener) (server, error)) (*front, error) {
	tlsConfig, err := fs.certs.server(certs)
	if err != nil {
		return nil, err
	}
	negotiate(tlsConfig, kind, alpn)
	own := fs.sets.Join("listener " + kind + " " + name + " " + addr)
	f, err := fs.bindOn(own, kind, name, addr, limits, proxied, tlsConfig, serve)
	if err != nil {
		own.Leave()
	}
	return f, err
}

// bindOn is bind with a set of metrics of its own and its certificates.
func (fs *fronts) bindOn(own *metricset.Shared, kind, name, addr string, limits config.ConnLimits, proxied config.ProxyIn, tlsConfig *tls.Config, serve func(*listen.Listener) (server, error)) (*front, error) {
	cost, httpCost := costs(fs.config.L4Driver)
	if kind == "l7" {
		cost = httpCost
	}
	if fs.config.Demo {
		cost++ // the backends are in the process
	}
	memory := connMemory
	if tlsConfig != nil {
		memory = tlsMemory
	}
	ln, err := listen.Listen(listen.Config{
		Kind: kind, Name: name, Address: addr,
		MaxConns: limits.MaxConns, Budget: fs.budget, ConnCost: cost, Memory: fs.memory, ConnMemory: memory,
		MaxConnsPerClient: limits.MaxConnsPerClient, MaxRatePerClient: limits.MaxRatePerClient,
		Proxy: proxyproto.Policy{Versions: proxied.Versions, From: prefixes(proxied.From)},
		TLS:   tlsConfig, HandshakeTimeout: fs.config.HandshakeTimeout,
		Logger: fs.logger, Metrics: own.Set,
	})
	if err != nil {
		return nil, err
	}
	s, err := serve(ln)
	if err != nil {
		ln.Close()
		return nil, err
	}
	f := &front{kind: kind, listener: ln, server: s, metrics: own}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.stopped {
		ln.Close()
		return nil, errors.New("stopping")
	}
	fs.all = append(fs.all, f)
	return f, nil
}

// newL4 makes the server of a TCP listener that leads to the services of
// parts.
func (fs *fronts) newL4(ln *listen.Listener, parts []config.L4, members []*service) (server, error) {
	cfg, err := l4Config(fs.config, parts, members, fs.l4Loops, fs.access, fs.sets.Main, fs.logger)
	if err != nil {
		return nil, err
	}
	cfg.Pauses = fs.pauses
	return l4.New(ln, cfg)
}

// add binds a TCP listener for a service, which serviceOf makes once it is
// bound, and begins to serve.
func (fs *fronts) add(name, addr string, serviceOf func() (*service, error)) (*front, error) {
	f, err := fs.bind("l4", name, addr, config.ConnLimits{}, config.ProxyIn{}, nil, nil, func(ln *listen.Listener) (server, error) {
		s, err := serviceOf()
		if err != nil {
			return nil, err
		}
		return fs.newL4(ln, []config.L4{{Addr: addr, Service: name}}, []*service{s})
	})
	if err != nil {
		return nil, err
	}
	fs.setLeads(f, func(service string) bool { return service == name })
	fs.start(f, func(err error) { fs.logger.Error("a TCP listener ended", "name", name, "err", err) })
	return f, nil
}

// leave closes a listener that add bound. Connections live on, until shutdown
// cuts them; when none is left, its metrics are dropped and ended is called.
func (fs *fronts) leave(f *front, ended func()) {
	fs.mu.Lock()
	f.leaving = true
	fs.mu.Unlock()
	fs.left.Go(func() {
		cut := f.server.Shutdown(fs.leaving)
		fs.lost.Add(int64(cut))
		fs.logger.Info("listener closed", "listener", f.kind, "name", f.listener.Name(), "cut", cut)
		fs.mu.Lock()
		fs.all = slices.DeleteFunc(fs.all, func(x *front) bool { return x == f })
		fs.mu.Unlock()
		f.metrics.Leave()
		ended()
	})
}

// setRoutes replaces the routes of every HTTP listener.
func (fs *fronts) setRoutes(routes []l7.Route) error {
	for _, f := range fs.list() {
		if s, ok := f.server.(*l7.Server); ok {
			if err := s.SetRoutes(routes); err != nil {
				return err
			}
		}
	}
	return nil
}

// setLeads notes to which services f, which may be nil, leads.
func (fs *fronts) setLeads(f *front, leads func(service string) bool) {
	if f != nil {
		fs.mu.Lock()
		f.leads = leads
		fs.mu.Unlock()
	}
}

// own returns the listeners there are now, as members see them.
func (fs *fronts) own() (all []ownListener) {
	for _, f := range fs.list() {
		if addr, err := netip.ParseAddrPort(f.listener.Addr().String()); err == nil {
			fs.mu.Lock()
			leads := f.leads
			fs.mu.Unlock()
			all = append(all, ownListener{addr, leads})
		}
	}
	return all
}

// list returns the listeners there are now, without those that are leaving.
func (fs *fronts) list() (staying []*front) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.all {
		if !f.leaving {
			staying = append(staying, f)
		}
	}
	return staying
}

// everything returns the listeners there are now and those whose connections
// have not all ended.
func (fs *fronts) everything() []*front {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return slices.Clone(fs.all)
}

func l4Config(c *config.Config, parts []config.L4, members []*service, loops *reactor.Group, access *accesslog.Log, set *metrics.Set, logger *slog.Logger) (l4.Config, error) {
	var routes []l4.Route
	for i, l := range parts {
		s := members[i]
		tlsConfig, err := backendTLS(s.settings)
		if err != nil {
			return l4.Config{}, err
		}
		waits, tcp := s.settings.Waits.Over(l.Waits), s.settings.TCPWaits.Over(l.TCPWaits)
		routes = append(routes, l4.Route{Name: l.SNI, Service: l4.Service{
			ConnectTimeout:   ownWait(waits.ConnectTimeout),
			IdleTimeout:      ownWait(tcp.IdleTimeout),
			FINTimeout:       ownWait(tcp.FINTimeout),
			Retries:          ownRetries(waits.Retries),
			Balancer:         s.balancer,
			Metrics:          s.metrics.Set,
			RetryBudget:      s.budget,
			QueueTimeout:     s.settings.QueueTimeout,
			ProxyOut:         s.settings.ProxyOut,
			TLS:              tlsConfig,
			DrainTimeout:     drainTimeout(c, s.settings),
			CloseOnUnhealthy: s.settings.CloseOnUnhealthy,
		}})
	}
	return l4.Config{
		Routes:          routes,
		ConnectTimeout:  c.L4ConnectTimeout,
		ConnectDeadline: c.L4ConnectDeadline,
		HedgeAfter:      orNever(c.L4HedgeAfter),
		IdleTimeout:     orNever(c.L4IdleTimeout),
		FINTimeout:      orNever(c.L4FINTimeout),
		UserTimeout:     c.L4UserTimeout,
		HelloWait:       config.Merged(parts).SNIWait,
		Loops:           loops,
		AccessLog:       access,
		Logger:          logger,
		Metrics:         set,
	}, nil
}

// orNever returns a duration as servers take it: 0 is never for an operator,
// and the default for them.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// drainTimeout returns how long connections to a backend of s that was taken out
// live on.
func drainTimeout(c *config.Config, s config.Service) time.Duration {
	if s.BackendDrainTimeout != nil {
		return orNever(*s.BackendDrainTimeout)
	}
	return orNever(c.BackendDrainTimeout)
}

// ownWait returns a time that something sets for itself as servers take it: 0 if
// it sets none, and negative for never.
func ownWait(d *time.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return orNever(*d)
}

// ownRetries is ownWait for a number of retries.
func ownRetries(n *int) int {
	switch {
	case n == nil:
		return 0
	case *n == 0:
		return -1
	}
	return *n
}

// serve starts to accept on every listener. A server that ends although its
// listener was not closed sends why to failed.
func (fs *fronts) serve(failed chan<- error) {
	for _, f := range fs.list() {
		fs.start(f, func(err error) {
			failed <- fmt.Errorf("%s listener %s ended: %w", f.kind, f.listener.Name(), err)
		})
	}
}

// start begins to accept on f, unless it does already.
func (fs *fronts) start(f *front, failed func(error)) {
	fs.mu.Lock()
	started := f.started
	f.started = true
	fs.mu.Unlock()
	if started {
		return
	}
	fs.logger.Info("listening", "listener", f.kind, "name", f.listener.Name(), "addr", f.listener.Addr().String())
	fs.wg.Go(func() {
		if err := f.server.Serve(); err != nil {
			failed(err)
		}
	})
}

// drain tells clients that can be told to go elsewhere with their next
// request.
func (fs *fronts) drain() {
	for _, f := range fs.list() {
		if d, ok := f.server.(interface{ Drain() }); ok {
			d.Drain()
		}
	}
}

// open returns how many connections of clients are open.
func (fs *fronts) open() (n int) {
	for _, f := range fs.everything() {
		n += f.listener.Open()
	}
	return n
}

// shutdown shuts all servers down at once and returns how many connections
// were cut when ctx ended.
func (fs *fronts) shutdown(ctx context.Context) int {
	fs.mu.Lock()
	fs.stopped = true
	fs.mu.Unlock()
	defer context.AfterFunc(ctx, fs.cut)()
	var cut atomic.Int64
	var wg sync.WaitGroup
	for _, f := range fs.list() {
		wg.Go(func() {
			start := time.Now()
			n := f.server.Shutdown(ctx)
			cut.Add(int64(n))
			fs.logger.Info("listener closed", "listener", f.kind, "name", f.listener.Name(), "cut", n, "after", time.Since(start))
		})
	}
	wg.Wait()
	fs.left.Wait()
	return int(cut.Load() + fs.lost.Load())
}

// close closes every listener and every connection and returns when no server
// runs any more.
func (fs *fronts) close() {
	for _, f := range fs.everything() {
		f.listener.Close()
		f.listener.CloseConns()
	}
	fs.cut()
	fs.left.Wait()
	fs.wg.Wait()
	if fs.loops != nil {
		fs.loops.Close()
	}
}

// startLoops runs one event loop a core.
func startLoops(n, pipes int, logger *slog.Logger) (*reactor.Group, error) {
	g, err := reactor.NewGroup(n, logger)
	if err != nil {
		return nil, err
	}
	g.LimitPipes(pipes)
	g.Start()
	return g, nil
}
