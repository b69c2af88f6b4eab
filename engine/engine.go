package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"sluice/pkg/accesslog"
	"sluice/pkg/config"
	"sluice/pkg/metricset"
	"sluice/pkg/pause"
)

// firstListWait is how long a start waits for the first list of every
// service's members before it accepts connections that it could not serve.
const firstListWait = 2 * time.Second

// Options is what an engine runs and what it runs in.
type Options struct {
	// Config has been validated, by [config.Config.Validate] and [Check], and is
	// not changed any more.
	Config  *config.Config
	Version string
	// ECS is where ECS says what it knows of this task; empty elsewhere.
	ECS     string
	Access  *accesslog.Log // nil: none
	Metrics *metricset.Sets
	Logger  *slog.Logger
}

// Engine is a configuration that runs. New binds, Start serves, and then Drain,
// for those that may finish, and Close are called, in this order.
type Engine struct {
	config     *config.Config
	ecs        string
	pauses     *pause.Watch
	services   *services
	fronts     *fronts
	tags       *tags // nil without --consul-tags
	registrars *registrars
	life       *lifecycle
	plane      *plane
	logger     *slog.Logger
	unfollow   context.CancelFunc // nil before Start
	failed     chan error
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
	e = &Engine{config: c, ecs: o.ECS, pauses: pause.NewWatch(), life: &lifecycle{}, registrars: &registrars{logger: o.Logger}, logger: o.Logger}
	defer func() {
		if err != nil {
			e.pauses.Close()
		}
	}()
	if e.services, err = newServices(c, o.Metrics, e.pauses, o.Logger); err != nil {
		return nil, err
	}
	if e.fronts, err = bindFronts(c, e.services, o.Access, o.Metrics, o.Logger); err != nil {
		return nil, err
	}
	exposePauses(o.Metrics.Main, e.pauses, e.fronts.loops)
	if c.ConsulTags != "" {
		e.tags = newTags(c, e.services, e.fronts, o.Metrics, o.Logger)
	}
	if e.plane, err = bindPlane(e, o.Version, o.Metrics); err != nil {
		e.fronts.close()
		return nil, err
	}
	e.failed = make(chan error, len(e.fronts.all)+len(e.plane.servers))
	return e, nil
}

// Start begins to follow the members of services, waits a moment for the first
// lists of them, and accepts.
func (e *Engine) Start() {
	e.plane.serve(e.failed)
	ctx, cancel := context.WithCancel(context.Background())
	e.unfollow = cancel
	go newMemory(os.DirFS("/"), e.fronts.memory, e.logger).follow(ctx)
	e.services.start(ctx, e.ecs)
	e.fronts.certs.follow(ctx)
	if e.fronts.processors != nil {
		go e.fronts.processors.follow(ctx)
	}
	e.tags.start()
	limit := time.Now().Add(firstListWait)
	if missing := append(e.services.awaitFirstLists(limit), e.tags.awaitFirst(limit)...); len(missing) > 0 {
		e.logger.Warn("starting without the members of some services", "services", missing)
	}
	e.fronts.serve(e.failed)
	e.life.set(running)
	e.registrars.start(e.config, e.services, e.fronts, e.plane)
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

// Listeners returns the listeners there are now.
func (e *Engine) Listeners() (all []Listener) {
	for _, f := range e.fronts.list() {
		all = append(all, Listener{f.kind, f.listener.Name(), f.listener.Addr()})
	}
	for _, s := range e.plane.servers {
		all = append(all, Listener{s.name, s.name, s.server.Addr()})
	}
	return all
}

// Drain ends service without losing a connection that could still finish: for a
// time not ready but accepting, then accepting nothing while connections end.
// It returns how many were cut in the end, or when ctx ended, which cuts all.
func (e *Engine) Drain(ctx context.Context) (cut int) {
	begin := time.Now()
	e.registrars.leave() // first of all: nobody should be led here any more
	e.life.set(draining)
	e.fronts.drain()
	e.logger.Info("draining: not ready, still accepting", "stage", "delay", "limit", e.config.DrainDelay)
	select {
	case <-time.After(e.config.DrainDelay):
	case <-ctx.Done():
	}
	delayed := time.Now()
	e.logger.Info("draining: closing listeners, connections may finish", "stage", "finish", "limit", e.config.DrainTimeout,
		"open", e.fronts.open(), "after", delayed.Sub(begin))
	finish, done := context.WithTimeout(ctx, e.config.DrainTimeout)
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
	e.registrars.close()
	if e.unfollow != nil {
		e.unfollow()
	}
	e.tags.close()
	e.services.stop()
	e.fronts.close()
	e.plane.shutdown()
	e.pauses.Close()
}
