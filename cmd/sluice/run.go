package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sluice/engine"
	"sluice/pkg/config"
	"sluice/pkg/control"
	"sluice/pkg/handover"
	"sluice/pkg/metricset"
	"sluice/pkg/notify"
)

// The exit codes, which scripts depend on.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// signals are what a process is told from outside. The first of stop drains it,
// the second ends it at once; those of reload have the configuration read again;
// upgrade has a new process take its place, and reopen opens the access log again,
// after which its old file can go, and kills a backend of the demo or starts it
// again.
type signals struct{ stop, reload, upgrade, reopen <-chan os.Signal }

// run is sluice from its arguments to its exit code.
func run(args, environ []string, stdout, stderr io.Writer, told signals) int {
	if len(args) > 0 {
		switch args[0] {
		case "healthcheck":
			return healthcheck(args[1:], environ, stdout, stderr)
		case "ctl":
			return runCtl(args[1:], environ, stdout, stderr)
		}
	}
	cmd, err := parseCommand(args, environ)
	if err == nil && !cmd.version && cmd.config.State != "" {
		if bad := control.CheckFile(cmd.config.State); bad != nil {
			err = config.Problem{Setting: "state", Reason: bad.Error()}
		}
	}
	switch {
	case errors.Is(err, pflag.ErrHelp):
		usage(stdout)
		return exitOK
	case cmd != nil && cmd.version:
		fmt.Fprintf(stdout, "sluice %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitOK
	case err == nil && cmd.dryRun:
		if len(cmd.unknown) > 0 {
			fmt.Fprintf(stderr, "sluice: environment variables that name no flag are ignored: %s\n", strings.Join(cmd.unknown, ", "))
		}
		return cmd.verdict(stdout)
	}
	sets := metricset.New()
	if err != nil {
		standard := config.Default()
		w := openLog(&standard, stderr, sets.Main)
		defer closeLog(w)
		for _, line := range strings.Split(err.Error(), "\n") {
			fmt.Fprintf(w, "sluice: %s\n", line)
		}
		fmt.Fprintln(w, "sluice: see sluice --help")
		return exitUsage
	}

	w := openLog(&cmd.config, stderr, sets.Main)
	defer closeLog(w)
	level := levelOf(&cmd.config)
	logger := slog.New(newHandler(cmd.config.LogFormat, w, level))
	slog.SetDefault(logger) // for what net/http says by package log
	read := func() (*command, error) { return parseCommand(args, environ) }
	options := engine.Options{Config: &cmd.config, Version: version, ECS: cmd.ecs, Level: level, Metrics: sets, Logger: logger}
	access, err := openAccessLog(&cmd.config, sets.Main, w.Patient(), logger)
	if err == nil {
		defer access.close()
		options.Access = access.log
		options.Tracer, err = openTracer(&cmd.config, cmd.environ, sets.Main, logger)
		defer closeTracer(options.Tracer, logger)
	}
	if err == nil {
		err = serve(cmd, options, read, stdout, told, access)
	}
	if err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			logger.Error("sluice failed", "err", line)
		}
		return exitFailed
	}
	return exitOK
}

// serve runs the configuration until a signal ends it; read reads it again. It
// returns nil after a drain.
func serve(cmd *command, options engine.Options, read func() (*command, error), stdout io.Writer, told signals, access *accessLog) (err error) {
	c, logger := &cmd.config, options.Logger
	start := time.Now()
	logStart(cmd, logger)
	complete := func(*command) {}
	var d *demo
	if c.Demo {
		if d, err = startDemo(); err != nil {
			return err
		}
		defer d.close()
		complete = d.complete
	}
	complete(cmd)
	shown := exposeFlags(cmd, options.Metrics.Main)
	options.Read = func() (*config.Config, error) {
		again, err := read()
		if err != nil {
			return nil, err
		}
		complete(again)
		shown.offer(again)
		return &again.config, nil
	}
	options.Applied = shown.take
	if cmd.watch {
		options.Watch = cmd.file
	}
	if options.Sockets, err = handover.FromEnvironment(cmd.environ); err != nil {
		logger.Warn("some of the sockets that were passed to this process cannot be used", "err", err)
	}
	notifier := notify.FromEnvironment(cmd.environ)
	if options.Book, options.Fleet, err = openBook(c, options.Metrics.Main, logger); err != nil {
		return err
	}
	e, err := engine.New(options)
	if err != nil && c.Demo {
		err = elsewhere(err)
	}
	if err != nil {
		return err
	}
	dumps, err := openDumps(c, e, options.Metrics.Main, logger)
	if err != nil {
		e.Close()
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	go reloadOn(told.reload, e, access, notifier, ended)
	go reopenOn(told.reopen, access, d, logger, ended)
	e.Start()
	if c.Demo {
		banner(stdout, e)
	}
	logger.Info("started", "duration", time.Since(start))

	if options.Sockets.HasPredecessor() {
		if err := options.Sockets.Ready(); err != nil {
			logger.Warn("the process before this one cannot be told that this one serves", "err", err)
		}
	} else { // else it is for the predecessor to say, whom the supervisor listens to
		notifier.Ready("ready")
	}
	err = live(e, &succession{program: program(), args: cmd.args, environ: cmd.environ, engine: e, notifier: notifier, logger: logger}, told)
	dumps.close()
	e.Close()
	if err == nil {
		logger.Info("stopped")
	}
	return err
}

// live waits until something ends e, and has it end in good order.
func live(e *engine.Engine, next *succession, told signals) error {
	watched, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	go answerWatchdog(watched, next.notifier, e)
	for {
		select {
		case err := <-e.Failed():
			next.abort()
			return err
		case sig := <-told.stop:
			next.abort()
			next.notifier.Stopping("draining", e.StopTime())
			return drain(e, sig, next.logger, told.stop)
		case sig := <-told.upgrade:
			next.begin(sig)
		case r := <-next.ended:
			if next.judge(r) {
				unwatch()
				handOver(e, told.stop)
				return nil
			}
		}
	}
}

// drain has e drained after the first signal. A second one cuts it short and is
// returned as an error.
func drain(e *engine.Engine, sig os.Signal, logger *slog.Logger, signals <-chan os.Signal) error {
	logger.Info("stopping: asked to by a signal", "signal", sig.String())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	again := make(chan os.Signal, 1)
	go func() {
		select {
		case s := <-signals:
			again <- s
			cancel()
		case <-ctx.Done():
		}
	}()
	cut := e.Drain(ctx)
	select {
	case s := <-again:
		return fmt.Errorf("stopped by a second signal (%v), %d connections cut", s, cut)
	default:
		return nil
	}
}

// reloadOn has the configuration read again for each signal that asks for it,
// until ended is closed. How it went is in the log. Whoever rotates logs may ask for
// no more.
func reloadOn(reload <-chan os.Signal, e *engine.Engine, access *accessLog, notifier *notify.Notifier, ended <-chan struct{}) {
	for {
		select {
		case <-reload:
			access.reopen()
			notifier.Reloading("reading the configuration")
			_, _ = e.Reload()
			notifier.Ready("ready")
		case <-ended:
			return
		}
	}
}

// reopenOn has the access log opened again for each signal, and a backend of the
// demo killed or started, if there is one, until ended is closed.
func reopenOn(signals <-chan os.Signal, access *accessLog, d *demo, logger *slog.Logger, ended <-chan struct{}) {
	for {
		select {
		case sig := <-signals:
			known := access.reopen()
			switch {
			case d != nil:
				d.toggle(logger)
			case !known:
				logger.Warn("ignored a signal: there is no --access-log-file to open again", "signal", sig.String())
			}
		case <-ended:
			return
		}
	}
}

// logStart says what runs, with which settings that are not the defaults.
func logStart(cmd *command, logger *slog.Logger) {
	attrs := []any{"version", version, "go", runtime.Version(), "gomaxprocs", runtime.GOMAXPROCS(0), "open_files", engine.OpenFiles()}
	cmd.flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			attrs = append(attrs, "--"+f.Name, flagValue(f))
		}
	})
	logger.Info("starting", attrs...)
	if len(cmd.unknown) > 0 {
		logger.Warn("environment variables that name no flag are ignored", "names", cmd.unknown)
	}
	if sum := cmd.config.DrainDelay + cmd.config.DrainTimeout; sum >= 30*time.Second {
		logger.Warn("--drain-delay and --drain-timeout together are not below 30s; raise the supervisor's stop timeout above them", "sum", sum)
	}
}
