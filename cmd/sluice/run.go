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
	"sluice/pkg/metricset"
)

// The exit codes, which scripts depend on.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is sluice from its arguments to its exit code. The first signal of stop
// drains it, the second ends it at once; those of reload have the configuration
// read again.
func run(args, environ []string, stdout, stderr io.Writer, stop, reload <-chan os.Signal) int {
	if len(args) > 0 && args[0] == "healthcheck" {
		return healthcheck(args[1:], environ, stdout, stderr)
	}
	cmd, err := parseCommand(args, environ)
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
		fmt.Fprintln(stdout, "the configuration is good")
		return exitOK
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
	logger := slog.New(newHandler(&cmd.config, w, level))
	slog.SetDefault(logger) // for what net/http says by package log
	read := func() (*command, error) { return parseCommand(args, environ) }
	options := engine.Options{Config: &cmd.config, Version: version, ECS: cmd.ecs, Level: level, Metrics: sets, Logger: logger}
	options.Access = openAccessLog(&cmd.config, sets.Main, w.Patient())
	defer closeAccessLog(options.Access, logger)
	if err := serve(cmd, options, read, stdout, stop, reload); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			logger.Error("sluice failed", "err", line)
		}
		return exitFailed
	}
	return exitOK
}

// serve runs the configuration until a signal ends it; read reads it again. It
// returns nil after a drain.
func serve(cmd *command, options engine.Options, read func() (*command, error), stdout io.Writer, stop, reload <-chan os.Signal) (err error) {
	c, logger := &cmd.config, options.Logger
	start := time.Now()
	logStart(cmd, logger)
	complete := func(*command) {}
	if c.Demo {
		demo, err := startDemo()
		if err != nil {
			return err
		}
		defer demo.close()
		complete = demo.complete
	}
	complete(cmd)
	options.Read = func() (*config.Config, error) {
		again, err := read()
		if err != nil {
			return nil, err
		}
		complete(again)
		return &again.config, nil
	}
	if cmd.watch {
		options.Watch = cmd.file
	}
	exposeFlags(cmd, options.Metrics.Main)
	e, err := engine.New(options)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	go reloadOn(reload, e, ended)
	e.Start()
	if c.Demo {
		banner(stdout, e)
	}
	logger.Info("started", "duration", time.Since(start))

	select {
	case err = <-e.Failed():
	case sig := <-stop:
		err = drain(e, sig, logger, stop)
	}
	e.Close()
	if err == nil {
		logger.Info("stopped")
	}
	return err
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
// until ended is closed. How it went is in the log.
func reloadOn(reload <-chan os.Signal, e *engine.Engine, ended <-chan struct{}) {
	for {
		select {
		case <-reload:
			_, _ = e.Reload()
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
