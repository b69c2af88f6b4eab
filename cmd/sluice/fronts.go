package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l4"
	"sluice/l7"
	"sluice/pkg/accesslog"
	"sluice/pkg/config"
	"sluice/pkg/listen"
	"sluice/pkg/proxyproto"
	"sluice/pkg/reactor"
)

// descriptorReserve is how many open files are kept for everything but
// proxied connections, each of which takes two.
const descriptorReserve = 256

// front is a listener with the server behind it.
type front struct {
	kind     string // l4 or l7
	listener *listen.Listener
	server   server
}

// server is what L4 and L7 have in common.
type server interface {
	// Serve accepts until the listener is closed.
	Serve() error
	// Shutdown stops accepting and waits for what is open until ctx ends; it
	// returns how many connections were cut then.
	Shutdown(ctx context.Context) (cut int)
}

// fronts are all listeners of the data path.
type fronts struct {
	all    []front
	loops  *reactor.Group // nil if nothing uses them
	certs  keeper
	logger *slog.Logger
	wg     sync.WaitGroup
}

// bindFronts binds every listener or none. All that cannot be bound is in the
// error.
func bindFronts(c *config.Config, services *services, access *accesslog.Log, set *metrics.Set, logger *slog.Logger) (*fronts, error) {
	fs := &fronts{logger: logger, certs: keeper{logger: logger}}
	var l4Loops *reactor.Group // nil for the copy driver
	if epoll := len(c.L4) > 0 && c.L4Driver != "copy"; epoll || len(c.L7) > 0 {
		var err error
		if fs.loops, err = startLoops(logger); err != nil {
			return nil, err
		}
		if epoll {
			l4Loops = fs.loops
		}
	}
	var problems []error
	bind := func(kind, name, addr string, limits config.ConnLimits, proxied config.ProxyIn, certs []config.Certificate, serve func(*listen.Listener) (server, error)) {
		if limits.MaxConns == 0 {
			limits.MaxConns = max(1, (openFilesLimit()-descriptorReserve)/2)
		}
		tlsConfig, err := fs.certs.server(certs)
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", kind, err))
			return
		}
		ln, err := listen.Listen(listen.Config{
			Kind: kind, Name: name, Address: addr,
			MaxConns: limits.MaxConns, MaxConnsPerClient: limits.MaxConnsPerClient, MaxRatePerClient: limits.MaxRatePerClient,
			Proxy: proxyproto.Policy{Versions: proxied.Versions, From: prefixes(proxied.From)},
			TLS:   tlsConfig, HandshakeTimeout: c.HandshakeTimeout,
			Logger: logger, Metrics: set,
		})
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", kind, err))
			return
		}
		s, err := serve(ln)
		if err != nil {
			ln.Close()
			problems = append(problems, fmt.Errorf("--%s: %w", kind, err))
			return
		}
		fs.all = append(fs.all, front{kind, ln, s})
	}
	for _, parts := range c.Listeners() {
		whole, name := config.Merged(parts), parts[0].Service
		var certs []config.Certificate
		for _, l := range parts {
			certs = append(certs, l.Certificate)
			if l.Service != name {
				name = l.Addr
			}
		}
		bind("l4", name, whole.Addr, whole.ConnLimits, whole.ProxyIn, certs, func(ln *listen.Listener) (server, error) {
			cfg, err := l4Config(c, parts, services, l4Loops, access, set, logger)
			if err != nil {
				return nil, err
			}
			return l4.New(ln, cfg)
		})
	}
	for _, l := range c.L7 {
		bind("l7", l.Addr, l.Addr, l.ConnLimits, l.ProxyIn, []config.Certificate{l.Certificate}, func(ln *listen.Listener) (server, error) {
			return l7.New(ln, l7Config(c, services, fs.loops, access, set, logger))
		})
	}
	if len(problems) > 0 {
		fs.close()
		return nil, errors.Join(problems...)
	}
	return fs, nil
}

func l4Config(c *config.Config, parts []config.L4, services *services, loops *reactor.Group, access *accesslog.Log, set *metrics.Set, logger *slog.Logger) (l4.Config, error) {
	var routes []l4.Route
	for _, l := range parts {
		s, settings := services.get(l.Service), c.Service(l.Service)
		tlsConfig, err := backendTLS(settings)
		if err != nil {
			return l4.Config{}, err
		}
		routes = append(routes, l4.Route{Name: l.SNI, Service: l4.Service{
			Balancer:         s.balancer,
			RetryBudget:      s.budget,
			QueueTimeout:     settings.QueueTimeout,
			ProxyOut:         settings.ProxyOut,
			TLS:              tlsConfig,
			DrainTimeout:     orNever(c.BackendDrainTimeout),
			CloseOnUnhealthy: settings.CloseOnUnhealthy,
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
		Loops:           loops,
		AccessLog:       access,
		Logger:          logger,
		Metrics:         set,
	}, nil
}

func prefixes(networks []config.CIDR) (all []netip.Prefix) {
	for _, n := range networks {
		all = append(all, n.Prefix)
	}
	return all
}

// orNever returns a duration as servers take it: 0 is never for an operator,
// and the default for them.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func l7Config(c *config.Config, services *services, loops *reactor.Group, access *accesslog.Log, set *metrics.Set, logger *slog.Logger) l7.Config {
	var routes []l7.Route
	for _, r := range c.Routes {
		s := services.get(r.Service)
		routes = append(routes, l7.Route{Host: r.Host, Path: r.Path, Strip: r.Strip, Balancer: s.balancer, RetryBudget: s.budget})
	}
	return l7.Config{
		Routes:          routes,
		TrustedProxies:  prefixes(c.TrustedProxies),
		ConnectTimeout:  c.L7ConnectTimeout,
		HeadTimeout:     c.L7HeadTimeout,
		BodyTimeout:     c.L7BodyTimeout,
		ResponseTimeout: c.L7ResponseTimeout,
		IdleTimeout:     c.L7IdleTimeout,
		Loops:           loops,
		AccessLog:       access,
		Logger:          logger,
		Metrics:         set,
	}
}

// serve starts to accept on every listener. A server that ends although its
// listener was not closed sends why to failed.
func (fs *fronts) serve(failed chan<- error) {
	for _, f := range fs.all {
		fs.logger.Info("listening", "listener", f.kind, "name", f.listener.Name(), "addr", f.listener.Addr().String())
		fs.wg.Go(func() {
			if err := f.server.Serve(); err != nil {
				failed <- fmt.Errorf("%s listener %s ended: %w", f.kind, f.listener.Name(), err)
			}
		})
	}
}

// drain tells clients that can be told to go elsewhere with their next
// request.
func (fs *fronts) drain() {
	for _, f := range fs.all {
		if d, ok := f.server.(interface{ Drain() }); ok {
			d.Drain()
		}
	}
}

// open returns how many connections of clients are open.
func (fs *fronts) open() (n int) {
	for _, f := range fs.all {
		n += f.listener.Open()
	}
	return n
}

// shutdown shuts all servers down at once and returns how many connections
// were cut when ctx ended.
func (fs *fronts) shutdown(ctx context.Context) int {
	var cut atomic.Int64
	var wg sync.WaitGroup
	for _, f := range fs.all {
		wg.Go(func() {
			start := time.Now()
			n := f.server.Shutdown(ctx)
			cut.Add(int64(n))
			fs.logger.Info("listener closed", "listener", f.kind, "name", f.listener.Name(), "cut", n, "after", time.Since(start))
		})
	}
	wg.Wait()
	return int(cut.Load())
}

// close closes every listener and every connection and returns when no server
// runs any more.
func (fs *fronts) close() {
	for _, f := range fs.all {
		f.listener.Close()
		f.listener.CloseConns()
	}
	fs.wg.Wait()
	if fs.loops != nil {
		fs.loops.Close()
	}
}

// startLoops runs one event loop a core. Loops keep their P while they are
// busy, so there must be some more for everything else: health checks, the
// control plane.
func startLoops(logger *slog.Logger) (*reactor.Group, error) {
	cores := runtime.GOMAXPROCS(0)
	g, err := reactor.NewGroup(cores, logger)
	if err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(cores + 2)
	g.Start()
	return g, nil
}

// openFilesLimit returns how many files this process may have open.
func openFilesLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<30))
}
