package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"sluice/engine/desired"
	"sluice/pkg/accesslog"
	"sluice/pkg/advice"
	"sluice/pkg/config"
	"sluice/pkg/control"
	"sluice/pkg/control/fleet"
	"sluice/pkg/handover"
	"sluice/pkg/metricset"
	"sluice/pkg/pause"
	"sluice/pkg/tracing"
)

// tidyEvery is how often services without connections are looked for that nobody
// wants any more.
const tidyEvery = time.Second

// Options is what an engine runs and what it runs in.
type Options struct {
	// Config has been validated, by [config.Config.Validate] and [Check], and is
	// not changed any more.
	Config *config.Config
	// Book is what operators change, from the start on; nil means that they can
	// change nothing.
	Book *control.Book
	// Fleet are the sluices that share it; nil means that this one is alone.
	Fleet   *fleet.Fleet
	Version string
	// ECS is where ECS says what it knows of this task; empty elsewhere.
	ECS string
	// Read reads the configuration again, for Reload, and validates it. Nil means
	// that it cannot be read again.
	Read func() (*config.Config, error)
	// Applied, if not nil, is told of a configuration of Read's that counts from
	// now on.
	Applied func(*config.Config)
	// Watch is a file whose changes cause a Reload; empty for none.
	Watch string
	// Sockets are used for listeners that are bound where they are; nil has
	// none.
	Sockets *handover.Sockets
	// Access is the access log, which the configuration turns on and off, and
	// Level the level of the log; nil for none, and one that does not change.
	Access *accesslog.Log
	Level  *slog.LevelVar
	// Tracer is told of requests that are sampled; nil for none.
	Tracer  *tracing.Tracer
	Metrics *metricset.Sets
	Logger  *slog.Logger
}

// Engine is a configuration that runs. New binds, Start serves, and then Drain,
// for those that may finish, and Close are called, in this order. All other
// methods are safe for concurrent use from New on.
type Engine struct {
	config     *config.Config // of the start
	version    string
	began      time.Time
	operators  operators
	fleet      *fleet.Fleet
	told       chan struct{} // capacity 1: what runs is otherwise, which the fleet should know
	ecs        string
	read       func() (*config.Config, error)
	applied    func(*config.Config)
	watched    string  // file, empty for none
	begun      content // of it, when the configuration was read
	reloads    reloads
	pauses     *pause.Watch
	services   *services
	fronts     *fronts
	tags       *tags // nil without --consul-tags
	logs       logs
	registrars *registrars
	life       *lifecycle
	plane      *plane
	recorder   *recorder
	logger     *slog.Logger
	unfollow   context.CancelFunc // nil before Start
	followers  sync.WaitGroup     // that end with it
	failed     chan error
	state      atomic.Pointer[desired.State]

	// turn is held by whoever changes what runs. It protects the fields below.
	turn    sync.Mutex
	sources desired.Sources // merged into the state
	led     ledRoutes
	acted   map[control.Key]uint64 // versions of the actions of overlays that were done
	stopped bool                   // nothing changes any more
}

// Check returns what is wrong with a configuration that can be known without
// running it, beyond what [config.Config.Validate] finds: files that cannot be
// used, and services that can only lead back to themselves.
func Check(c *config.Config) error {
	return errors.Join(errors.Join(checkFiles(c)...), errors.Join(checkLoops(c)...))
}

// New makes everything in the order in which data walks through it and binds
// every listener, or none. All that cannot be bound is in the error.
func New(o Options) (e *Engine, err error) {
	c := o.Config
	e = &Engine{
		config: c, ecs: o.ECS, read: o.Read, applied: o.Applied, watched: o.Watch, pauses: pause.NewWatch(), life: &lifecycle{}, registrars: &registrars{logger: o.Logger},
		logs: logs{o.Level, o.Access}, logger: o.Logger, failed: make(chan error, 1),
		sources: desired.Sources{Config: c}, acted: make(map[control.Key]uint64),
		version: o.Version, began: time.Now(), fleet: o.Fleet, told: make(chan struct{}, 1),
		operators: operators{book: o.Book, more: make(chan struct{})},
	}
	if o.Watch != "" {
		e.begun = contentOf(o.Watch)
	}
	e.reloads.expose(o.Metrics)
	e.state.Store(&desired.State{})
	begun := e // of which an error makes nil
	defer func() {
		if err != nil {
			begun.Close()
		}
	}()
	if e.services, err = newServices(c, o.Metrics, e.pauses, o.Logger); err != nil {
		return nil, err
	}
	if o.Book != nil {
		e.services.journal = o.Book.Journal()
	}
	if e.fronts, err = newFronts(c, e.services, records{o.Access, o.Tracer}, o.Sockets, o.Metrics, o.Logger); err != nil {
		return nil, err
	}
	exposePauses(o.Metrics.Main, e.pauses, e.fronts.loops)
	if c.ConsulTags != "" {
		e.tags = newTags(c, e.services, o.Metrics, e.follow, o.Logger)
	}
	if err = e.begin(); err != nil {
		return nil, err
	}
	e.recorder = newRecorder(e.services, o.Metrics)
	if o.Book != nil {
		o.Book.Judge(e.Running())
	}
	if e.plane, err = bindPlane(e, o.Version, o.Metrics); err != nil {
		return nil, err
	}
	return e, nil
}

// begin makes everything run as the configuration and the operators say. What
// operators changed before must not stand against a start: what of it cannot be
// had any more, listeners first and then routes, is left out, and tried again.
func (e *Engine) begin() error {
	if e.operators.book == nil {
		return e.change(func(*desired.Sources) {})
	}
	overlay := e.operators.book.Overlay()
	for _, c := range overlay.Actions() { // of another run
		e.acted[c.Key()] = c.Version
	}
	var first error
	for _, kinds := range [][]control.Kind{
		nil, {control.OfListener}, {control.OfListener, control.OfRoute}, {control.OfListener, control.OfRoute, control.OfService, control.OfBackend, control.OfProcess},
	} {
		part := overlay.Without(kinds...)
		err := e.check(part)
		if err == nil {
			err = e.change(func(s *desired.Sources) { s.Overlay = part })
		}
		if err == nil {
			e.operators.note(overlay, first)
			return nil
		}
		if first == nil {
			first = err
		}
		if part.Len() == 0 {
			return err
		}
		e.logger.Error("what operators changed before cannot be had as a whole", "left_out", kinds, "err", err)
	}
	return first
}

// Start waits a moment for the first lists of the members of services, and
// accepts.
func (e *Engine) Start() {
	e.plane.serve(e.fail)
	ctx, cancel := context.WithCancel(context.Background())
	e.unfollow = cancel
	go newMemory(os.DirFS("/"), e.fronts.memory, e.logger).follow(ctx)
	e.services.start(ctx, e.ecs)
	e.tags.start()
	limit := time.Now().Add(firstListWait)
	if missing := append(awaitFirstLists(e.services.wanted(), limit), e.tags.awaitFirst(limit)...); len(missing) > 0 {
		e.logger.Warn("starting without the members of some services", "services", missing)
	}
	if rest := e.fronts.sockets.CloseRest(); len(rest) > 0 {
		e.logger.Warn("sockets that were passed to this process are nobody's: no listener is set to their addresses, or names", "addrs", rest)
	}
	e.turn.Lock()
	for _, f := range e.fronts.list() {
		e.fronts.start(f, e.failOf(f))
	}
	e.life.set(running)
	e.turn.Unlock()
	e.tellFleet()
	go e.tidy(ctx)
	go e.recorder.follow(ctx)
	e.followers.Go(func() { e.followBook(ctx) })
	e.followers.Go(func() { e.watchContact(ctx) })
	if e.operators.book != nil {
		e.followers.Go(func() { e.operators.book.Run(ctx) })
	}
	if e.fleet != nil {
		e.followers.Go(func() { e.fleet.Join(ctx, e.task, e.told, e.share) })
	}
	if e.watched != "" {
		go watch(ctx, e.watched, e.begun, watchEvery, func() { _, _ = e.Reload() }) // which says itself how it went
	}
	e.registrars.start(e)
}

// tidy forgets services that nobody wants any more once their connections have
// ended, until ctx ends.
func (e *Engine) tidy(ctx context.Context) {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.services.bury()
		}
	}
}

// failOf returns what is done if f ends although nobody closed it: for one that
// tags ask for, nothing but to say so.
func (e *Engine) failOf(f *front) func(error) {
	if f.wants.Tags {
		return func(err error) { e.logger.Error("a TCP listener that tags ask for ended", "err", err) }
	}
	return e.fail
}

// fail notes that a listener ended that nobody closed.
func (e *Engine) fail(err error) {
	select {
	case e.failed <- err:
	default: // it is the end already
	}
}

// Failed returns why a listener ended that nobody closed. From Start on nothing
// else ends a run but who runs it.
func (e *Engine) Failed() <-chan error { return e.failed }

// Listener is a listener that is bound.
type Listener struct {
	Kind string // l4, l7, admin or health
	Name string
	Addr net.Addr
}

// Listening returns the listeners there are now.
func (e *Engine) Listening() (all []Listener) {
	for _, f := range e.fronts.list() {
		all = append(all, Listener{f.kind, f.listener.Name(), f.addr()})
	}
	for _, s := range e.plane.servers {
		all = append(all, Listener{s.name, s.name, s.server.Addr()})
	}
	return all
}

// halt ends changes of what runs.
func (e *Engine) halt() {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.stopped = true
}

// StopTime returns how long a Drain and a Close may take at most.
func (e *Engine) StopTime() time.Duration {
	c := e.services.config.Load()
	return c.DrainDelay + c.DrainTimeout + advice.StopSlack
}

// Drain ends service without losing a connection that could still finish: for a
// time not ready but accepting, then accepting nothing while connections end.
// It returns how many were cut in the end, or when ctx ended, which cuts all.
func (e *Engine) Drain(ctx context.Context) (cut int) {
	begin := time.Now()
	c := e.services.config.Load()
	e.registrars.leave() // first of all: nobody should be led here any more
	e.life.set(draining)
	e.tellFleet()
	e.fronts.drain()
	e.logger.Info("draining: not ready, still accepting", "stage", "delay", "limit", c.DrainDelay)
	select {
	case <-time.After(c.DrainDelay):
	case <-ctx.Done():
	}
	e.halt()
	delayed := time.Now()
	e.logger.Info("draining: closing listeners, connections may finish", "stage", "finish", "limit", c.DrainTimeout,
		"open", e.fronts.open(), "after", delayed.Sub(begin))
	finish, done := context.WithTimeout(ctx, c.DrainTimeout)
	defer done()
	cut = e.fronts.shutdown(finish)
	if ctx.Err() != nil {
		return cut
	}
	level := slog.LevelInfo
	if cut > 0 {
		level = slog.LevelWarn
	}
	e.logger.Log(ctx, level, "draining: done", "stage", "done", "cut", cut, "after", time.Since(delayed), "total", time.Since(begin))
	return cut
}

// Close ends everything that still runs, in reverse order, and returns when
// nothing does.
func (e *Engine) Close() {
	e.halt()
	e.registrars.close()
	if e.unfollow != nil {
		e.unfollow()
		e.followers.Wait()
	}
	if e.tags != nil && e.unfollow != nil {
		e.tags.close()
	}
	if e.services != nil {
		e.services.stop()
	}
	if e.fronts != nil {
		e.fronts.close()
	}
	if e.plane != nil {
		e.plane.shutdown()
	}
	e.pauses.Close()
}
