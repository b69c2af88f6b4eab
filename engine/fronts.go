package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/engine/desired"
	"sluice/l7"
	"sluice/pkg/accesslog"
	"sluice/pkg/config"
	"sluice/pkg/handover"
	"sluice/pkg/listen"
	"sluice/pkg/metricset"
	"sluice/pkg/pause"
	"sluice/pkg/tracing"
)

// fronts are all listeners of the data path. All methods are safe for concurrent
// use.
type fronts struct {
	config   *config.Config // of the start, for what never changes
	loops    *loopGroup
	certs    keeper
	files    descriptors
	budget   *listen.Budget // of all listeners: of descriptors
	memory   *listen.Budget // and of memory
	records  records
	recent   *l7.Recent        // requests of all HTTP listeners
	sockets  *handover.Sockets // that this process was started with
	sets     *metricset.Sets
	pauses   *pause.Watch // of the process
	instance string
	auths    *auths
	part     func() part // that this sluice takes of limits for the fleet
	logger   *slog.Logger
	wg       sync.WaitGroup // of servers

	// ending ends when all listeners are shut down, and with it the patience for
	// connections that wait for a request.
	ending context.Context
	hurry  context.CancelFunc
	// leaving ends when listeners that were taken away cut what is open.
	leaving context.Context
	cut     context.CancelFunc
	left    sync.WaitGroup // of those listeners
	lost    atomic.Int64   // connections of theirs that were cut

	// leadsHTTP reports whether an HTTP route leads to a service.
	leadsHTTP atomic.Pointer[func(id string) bool]

	// mu protects the fields below.
	mu      sync.Mutex
	all     []*front
	stopped bool // no listener is bound any more
}

// records are who takes what became of requests and connections; nil for nobody.
type records struct {
	access *accesslog.Log
	tracer *tracing.Tracer
}

// newFronts divides the descriptors and binds nothing yet.
func newFronts(c *config.Config, services *services, records records, sockets *handover.Sockets, sets *metricset.Sets, logger *slog.Logger) (*fronts, error) {
	fs := &fronts{config: c, records: records, recent: l7.NewRecent(), sockets: sockets, sets: sets, pauses: services.pauses, instance: services.instance, auths: &services.auths, part: services.part, logger: logger, certs: keeper{logger: logger}}
	sets.Main.RegisterMetricsWriter(fs.certs.write)
	sets.Main.RegisterMetricsWriter(fs.writeClientLimits)
	var err error
	if fs.loops, fs.files, err = newLoopGroup(c, logger); err != nil {
		return nil, err
	}
	fs.files.warn(c, logger)
	fs.budget, fs.memory = listen.NewBudget(fs.files.conns), listen.NewBudget(math.MaxInt)
	fs.ending, fs.hurry = context.WithCancel(context.Background())
	fs.leaving, fs.cut = context.WithCancel(context.Background())
	services.self.listeners = fs.own
	return fs, nil
}

// add makes a front known.
func (fs *fronts) add(f *front) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.stopped {
		return errors.New("stopping")
	}
	fs.all = append(fs.all, f)
	for _, s := range f.leadsTo {
		s.fronts.Add(1)
	}
	return nil
}

// forget takes back a front that nothing has used yet.
func (fs *fronts) forget(f *front) {
	fs.mu.Lock()
	fs.all = slices.DeleteFunc(fs.all, func(x *front) bool { return x == f })
	fs.mu.Unlock()
	for _, s := range f.leadsTo {
		s.fronts.Add(-1)
	}
	fs.discard(f)
}

// start begins to accept on f, unless it does already. A server that ends
// although its listener was not closed sends why to failed.
func (fs *fronts) start(f *front, failed func(error)) {
	fs.mu.Lock()
	started := f.started
	f.started = true
	fs.mu.Unlock()
	if started {
		return
	}
	fs.logger.Info("listening", "listener", f.kind, "name", f.listener.Name(), "addr", f.addr().String())
	fs.wg.Go(func() {
		if err := f.server.Serve(); err != nil {
			failed(fmt.Errorf("%s listener %s ended: %w", f.kind, f.listener.Name(), err))
		}
	})
}

// leave takes a listener away. Connections live on, until shutdown cuts them;
// when none is left, its metrics are dropped and ended is called.
func (fs *fronts) leave(f *front, ended func()) {
	fs.retire(f, func() int { return f.server.Shutdown(fs.leaving) }, ended)
}

// replace takes a listener away whose socket another one has inherited. No
// connection notices; HTTP clients are asked to come again with their next
// request.
func (fs *fronts) replace(f *front, ended func()) {
	f.listener.Close()
	if d, ok := f.server.(drainer); ok {
		d.Drain()
	}
	fs.retire(f, func() int {
		_ = f.listener.Wait(fs.ending) // its error is that time is up
		return f.server.Shutdown(fs.leaving)
	}, ended)
}

// leavingAt returns a listener at an address that is leaving and may have its
// socket still, nil if there is none.
func (fs *fronts) leavingAt(addr string) *front {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.all {
		if f.leaving && f.wants.Addr == addr && !f.wants.AnyPort() && !f.listener.Closed() {
			return f
		}
	}
	return nil
}

// socketOf returns the socket of a listener for the one that takes its place.
func (fs *fronts) socketOf(f *front) (*net.TCPListener, error) {
	fs.mu.Lock()
	leaving := f.leaving
	fs.mu.Unlock()
	if leaving {
		return f.listener.Reclaim()
	}
	return f.listener.Socket()
}

// drainer is a server whose clients can be told to go elsewhere.
type drainer interface{ Drain() }

func (fs *fronts) retire(f *front, shutdown func() (cut int), ended func()) {
	fs.mu.Lock()
	already := f.leaving
	f.leaving = true
	fs.mu.Unlock()
	if already { // and its socket is somebody else's now
		return
	}
	fs.left.Go(func() {
		cut := shutdown()
		fs.lost.Add(int64(cut))
		fs.logger.Info("listener closed", "listener", f.kind, "name", f.listener.Name(), "addr", f.addr().String(), "cut", cut)
		fs.mu.Lock()
		fs.all = slices.DeleteFunc(fs.all, func(x *front) bool { return x == f })
		fs.mu.Unlock()
		for _, s := range f.leadsTo {
			s.fronts.Add(-1)
		}
		fs.certs.drop(f.shown)
		f.metrics.Leave()
		ended()
	})
}

// setRoutes replaces the routes of every HTTP listener that stays, and of those
// that others have taken the place of. One that goes for good keeps its own.
func (fs *fronts) setRoutes(routes []l7.Route, stays func(id string) bool) error {
	for _, f := range fs.everything() {
		if r, ok := f.server.(router); ok && stays(f.id) {
			if err := r.SetRoutes(routes); err != nil {
				return err
			}
		}
	}
	return nil
}

// get returns a listener that stays by its ID, nil if there is none.
func (fs *fronts) get(id string) *front {
	for _, f := range fs.list() {
		if f.id == id {
			return f
		}
	}
	return nil
}

// boundAt reports whether a listener that stays, or that leaves, is at an address.
func (fs *fronts) boundAt(addr string) bool {
	return slices.ContainsFunc(fs.everything(), func(f *front) bool { return f.wants.Addr == addr })
}

// probe reports why an address could not be listened on now.
func probe(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %q: %w", addr, err)
	}
	return ln.Close()
}

// leads reports whether f leads to the service of that ID.
func (fs *fronts) leads(f *front, id string) bool {
	if f.kind == "l4" {
		return slices.ContainsFunc(f.wants.Parts, func(p desired.Part) bool { return p.To == id })
	}
	leads := fs.leadsHTTP.Load()
	return leads == nil || (*leads)(id)
}

// own returns the listeners there are now, as members see them.
func (fs *fronts) own() (all []ownListener) {
	for _, f := range fs.list() {
		if addr, err := netip.ParseAddrPort(f.addr().String()); err == nil {
			all = append(all, ownListener{addr, func(id string) bool { return fs.leads(f, id) }})
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

// drain tells clients that can be told to go elsewhere with their next
// request.
func (fs *fronts) drain() {
	for _, f := range fs.list() {
		if d, ok := f.server.(drainer); ok {
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
	fs.hurry()
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
	fs.mu.Lock()
	fs.stopped = true
	fs.mu.Unlock()
	for _, f := range fs.everything() {
		f.listener.Close()
		f.listener.CloseConns()
	}
	fs.hurry()
	fs.cut()
	fs.left.Wait()
	fs.wg.Wait()
	fs.loops.close()
}
