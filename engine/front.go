package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"sluice/engine/desired"
	l4copy "sluice/l4/copy"
	"sluice/l4/epoll"
	"sluice/l7"
	"sluice/pkg/config"
	"sluice/pkg/limit"
	"sluice/pkg/listen"
	"sluice/pkg/metricset"
	"sluice/pkg/proxyproto"
	"sluice/pkg/reactor"
)

// front is a listener with the server behind it.
type front struct {
	id       string
	kind     string // l4 or l7
	wants    desired.Listener
	listener *listen.Listener
	server   server
	metrics  *metricset.Shared // the listener's own
	shown    *shown            // nil without TLS
	rate     *limit.Rate       // nil without one
	leadsTo  []*service        // of a TCP listener

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

// router is a server that has routes.
type router interface {
	SetRoutes(routes []l7.Route) error
}

// make binds a listener as it is wanted, with its server, of which nobody knows
// yet. If heir is not nil, it takes over the socket of that one, which goes on
// accepting until retire is called. serviceOf returns the services by their IDs.
func (fs *fronts) make(want desired.Listener, heir *front, serviceOf func(id string) *service, routes []l7.Route) (f *front, err error) {
	f = &front{id: want.ID, kind: want.Kind, wants: want}
	f.metrics = fs.sets.Join("listener " + want.Kind + " " + want.Name + " " + want.Addr)
	defer func() {
		if err != nil {
			fs.discard(f)
		}
	}()
	if f.shown, err = fs.certs.open(want.Certificates()); err != nil {
		return f, err
	}
	cfg := fs.listenConfig(want, f)
	if heir != nil {
		cfg.Kept = heir.listener.Kept()
		cfg.Inherited, err = fs.socketOf(heir)
	} else {
		cfg.Inherited, cfg.Kept, err = fs.sockets.Take(offered(want.Kind, want.Addr), want.Addr)
	}
	if err != nil {
		return f, err
	}
	if f.listener, err = listen.Listen(cfg); err != nil {
		return f, err
	}
	if want.Kind == "l7" {
		loops, err := fs.loopsOf(f)
		if err != nil {
			return f, err
		}
		f.rate = rateOf(want, heir)
		f.divide(fs.part())
		c, err := fs.l7Config(want, routes)
		if err != nil {
			return f, err
		}
		c.Rate, c.Loops, c.Pauses = f.rate, loops, fs.pauses
		c.IdleRoom = max(1, fs.files.idle/len(loops.Loops()))
		f.server, err = l7.New(f.listener, c)
		return f, err
	}
	for _, p := range want.Parts {
		s := serviceOf(p.To)
		if s == nil {
			return f, errors.New("there is no service " + p.To)
		}
		f.leadsTo = append(f.leadsTo, s)
	}
	f.divide(fs.part())
	c, err := fs.l4Config(want, f.leadsTo)
	if err != nil {
		return f, err
	}
	if fs.config.L4Driver == "copy" {
		f.server = l4copy.New(f.listener, c)
		return f, nil
	}
	loops, err := fs.loopsOf(f)
	if err != nil {
		return f, err
	}
	f.server = epoll.New(f.listener, loops, c)
	return f, nil
}

// loopsOf returns the loops for a listener.
func (fs *fronts) loopsOf(f *front) (*reactor.Group, error) {
	switch {
	case f.kind == "l7" && !fs.l7Driver().InLoops():
		return fs.loops.forIdle()
	case f.shown != nil:
		return fs.loops.forTLS()
	}
	return fs.loops.get()
}

// listenConfig says how a listener is bound.
func (fs *fronts) listenConfig(want desired.Listener, f *front) listen.Config {
	limits, proxied, alpn := f.clientLimits(), want.HTTP.ProxyIn, []string(nil)
	cost, httpCost := costs(fs.config.L4Driver)
	if want.Kind == "l7" {
		cost = httpCost
		if want.HTTP.Offers() && fs.l7Driver().SpeaksHTTP2() {
			alpn = []string{"h2"}
		}
	} else {
		whole := config.Merged(want.L4())
		proxied, alpn = whole.ProxyIn, whole.ALPN
	}
	if fs.config.Demo {
		cost++ // the backends are in the process
	}
	cfg := listen.Config{
		Kind: want.Kind, Name: want.Name, Address: want.Addr,
		MaxConns: limits.MaxConns, Budget: fs.budget, ConnCost: cost, Memory: fs.memory, ConnMemory: connMemory,
		MaxConnsPerClient: limits.MaxConnsPerClient, MaxRatePerClient: limits.MaxRatePerClient,
		Proxy:            proxyproto.Policy{Versions: proxied.Versions, From: prefixes(proxied.From)},
		HandshakeTimeout: want.Handshake,
		Logger:           fs.logger, Metrics: f.metrics.Set,
	}
	if f.shown != nil {
		cfg.TLS, cfg.ConnMemory = f.shown.tls, tlsMemory
		negotiate(cfg.TLS, want.Kind, alpn)
	}
	return cfg
}

// rateOf returns the limit of requests of each client; that of the listener
// before, with what is known of clients, if it is the same.
func rateOf(want desired.Listener, old *front) *limit.Rate {
	h := want.HTTP
	switch {
	case h.Rate <= 0:
		return nil
	case old != nil && old.rate != nil && old.wants.HTTP.ClientRate == h.ClientRate && old.wants.HTTP.Fleet == h.Fleet:
		return old.rate
	}
	return limit.NewRate(h.Rate, h.Burst())
}

// discard gives back what a front holds that does not serve.
func (fs *fronts) discard(f *front) {
	if f.listener != nil {
		f.listener.Close()
	}
	fs.certs.drop(f.shown)
	f.metrics.Leave()
}

// addr returns the address that the front is bound to.
func (f *front) addr() net.Addr { return f.listener.Addr() }

// addrPort is addr in parsed form; it is not valid if that cannot be.
func (f *front) addrPort() netip.AddrPort {
	a, _ := netip.ParseAddrPort(f.addr().String())
	return a
}
