package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/config"
	"sluice/pkg/logwriter"
)

// logFlush bounds how long a stop waits for each log to be written.
const logFlush = time.Second

// openLog returns what all lines of the log go through, on their way to out.
func openLog(c *config.Config, out io.Writer, set *metrics.Set) *logwriter.Writer {
	return logwriter.New(logwriter.Config{Out: out, Metrics: set, Tell: func(w io.Writer, lines int, err error) {
		attrs := []any{"lines", lines}
		if err != nil {
			attrs = append(attrs, "err", err)
		}
		slog.New(newHandler(c.LogFormat, w, slog.LevelInfo)).Warn("lines of the log were lost: its output failed or was too slow", attrs...)
	}})
}

// closeLog writes what the log still has. It is the end of a run, and there is
// nowhere left to complain.
func closeLog(w *logwriter.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), logFlush)
	defer cancel()
	_ = w.Close(ctx)
}

// levelOf returns the level of the log, which the engine changes.
func levelOf(c *config.Config) *slog.LevelVar {
	var v slog.LevelVar
	level, _ := c.Level() // Validate has checked it
	v.Set(level)
	return &v
}

// newHandler returns what formats log lines from a level on onto w, as text or
// else as JSON.
func newHandler(format string, w io.Writer, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // in JSON it would be bare nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	if format == "text" {
		return slog.NewTextHandler(w, options)
	}
	return slog.NewJSONHandler(w, options)
}
