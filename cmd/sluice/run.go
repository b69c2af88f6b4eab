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

	"github.com/VictoriaMetrics/metrics"
	"github.com/spf13/pflag"

	"sluice/engine"
	"sluice/pkg/accesslog"
	"sluice/pkg/config"
	"sluice/pkg/logwriter"
	"sluice/pkg/metricset"
)

// The exit codes, which scripts depend on.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is sluice from its arguments to its exit code. The first signal of stop
// drains it, the second ends it at once; those of reload are said to be ignored.
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
	logger := slog.New(newHandler(&cmd.config, w))
	slog.SetDefault(logger) // for what net/http says by package log
	if err := serve(cmd, sets, logger, stdout, w, stop, reload); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			logger.Error("sluice failed", "err", line)
		}
		return exitFailed
	}
	return exitOK
}

// serve runs the configuration until a signal ends it. It returns nil after a
// drain.
func serve(cmd *command, sets *metricset.Sets, logger *slog.Logger, stdout io.Writer, log *logwriter.Writer, stop, reload <-chan os.Signal) (err error) {
	c := &cmd.config
	start := time.Now()
	logStart(cmd, logger)
	ended := make(chan struct{})
	defer close(ended)
	go ignoreReloads(reload, logger, ended)

	if c.Demo {
		demo, err := startDemo(c, cmd.flags.Changed)
		if err != nil {
			return err
		}
		defer demo.close()
	}

	exposeFlags(cmd, sets.Main)
	access := openAccessLog(c, sets.Main, log.Patient())
	defer closeAccessLog(access, logger)
	e, err := engine.New(engine.Options{Config: c, Version: version, ECS: cmd.ecs, Access: access, Metrics: sets, Logger: logger})
	if err != nil {
		return err
	}
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

// ignoreReloads says of each signal that asks for a reload that nothing comes of
// it, until ended is closed.
func ignoreReloads(reload <-chan os.Signal, logger *slog.Logger, ended <-chan struct{}) {
	for {
		select {
		case sig := <-reload:
			logger.Warn("ignored a signal: settings change with a restart only; certificates and lists of members are followed without it", "signal", sig.String())
		case <-ended:
			return
		}
	}
}

// openAccessLog returns the access log, or nil if there is to be none.
func openAccessLog(c *config.Config, set *metrics.Set, w io.Writer) *accesslog.Log {
	if !c.AccessLog {
		return nil
	}
	cfg := accesslog.Config{Out: w, Sample: c.AccessLogSample, Metrics: set}
	if c.LogFormat != "json" {
		cfg.Handler = func(w io.Writer) slog.Handler { return newHandler(c, w) }
	}
	return accesslog.New(cfg)
}

// closeAccessLog writes what the log still has.
func closeAccessLog(l *accesslog.Log, logger *slog.Logger) {
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), logFlush)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		logger.Warn("the end of the access log could not be written in time", "limit", logFlush)
	}
}

// logFlush bounds how long a stop waits for each log to be written.
const logFlush = time.Second

// openLog returns what all lines of the log go through, on their way to out.
func openLog(c *config.Config, out io.Writer, set *metrics.Set) *logwriter.Writer {
	return logwriter.New(logwriter.Config{Out: out, Metrics: set, Tell: func(w io.Writer, lines int, err error) {
		attrs := []any{"lines", lines}
		if err != nil {
			attrs = append(attrs, "err", err)
		}
		slog.New(newHandler(c, w)).Warn("lines of the log were lost: its output failed or was too slow", attrs...)
	}})
}

// closeLog writes what the log still has. It is the end of a run, and there is
// nowhere left to complain.
func closeLog(w *logwriter.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), logFlush)
	defer cancel()
	_ = w.Close(ctx)
}

// newHandler returns what formats log lines onto w.
func newHandler(c *config.Config, w io.Writer) slog.Handler {
	level, _ := c.Level() // Validate has checked it
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // in JSON it would be bare nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	if c.LogFormat == "text" {
		return slog.NewTextHandler(w, options)
	}
	return slog.NewJSONHandler(w, options)
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

// exposeFlags writes every flag as a metric, as a way to see what runs where.
func exposeFlags(cmd *command, set *metrics.Set) {
	one := func() float64 { return 1 }
	cmd.flags.VisitAll(func(f *pflag.Flag) {
		set.NewGauge(fmt.Sprintf("sluice_flag{name=%q,value=%q,is_set=\"%t\"}", f.Name, flagValue(f), f.Changed), one)
	})
	set.NewGauge(fmt.Sprintf("sluice_build_info{version=%q,go=%q}", version, runtime.Version()), one)
}

// flagValue returns the value of f as it may be shown: masked if it is a
// secret, and only so much of it.
func flagValue(f *pflag.Flag) string {
	if isSecret(f.Name) {
		return config.Secret(f.Value.String()).String()
	}
	return bounded(f.Value.String())
}
