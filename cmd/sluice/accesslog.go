package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
	"sluice/pkg/config"
	"sluice/pkg/logwriter"
	"sluice/pkg/syslog"
	"sluice/pkg/throttle"
)

// accessLog is the access log, which the engine turns on and off, and where it
// goes.
type accessLog struct {
	log    *accesslog.Log
	file   *logwriter.File // nil for none, which can be opened again
	queues []queue
	logger *slog.Logger
}

// queue is what lines go through to an output of the access log's own, which
// nobody waits for.
type queue struct {
	lines *logwriter.Writer
	out   io.Closer // what ends a write that waits
}

// openAccessLog returns the access log, whose lines go to patient unless c says
// where to.
func openAccessLog(c *config.Config, set *metrics.Set, patient io.Writer, logger *slog.Logger) (*accessLog, error) {
	a := &accessLog{logger: logger}
	sink := accessSink(c)
	var sinks []accesslog.Sink
	switch c.AccessLogFile {
	case "":
	case config.Stdout:
		sinks = append(sinks, sink.to(a.queue(set, "stdout", os.Stdout, io.NopCloser(nil))))
	default:
		file, err := logwriter.OpenFile(c.AccessLogFile)
		if err != nil {
			return nil, fmt.Errorf("--access-log-file: %w", err)
		}
		a.file = file
		sinks = append(sinks, sink.to(a.queue(set, c.AccessLogFile, file, file)))
	}
	if c.AccessLogSyslog != "" {
		server, _ := c.AccessLogSyslog.Parse() // Validate has checked it
		w := syslog.New(server.Network, server.Addr)
		s := sink.to(a.queue(set, string(c.AccessLogSyslog), w, w))
		s.Header = syslog.NewHeader(server.Facility, server.Tag, "access").Append
		sinks = append(sinks, s)
	}
	if len(sinks) == 0 {
		sinks = append(sinks, sink.to(patient))
	}
	a.log = accesslog.New(accesslog.Config{Sinks: sinks, Sample: c.AccessLogSample, Metrics: set})
	a.log.Set(c.AccessLog, c.AccessLogSample)
	return a, nil
}

// form is the form of lines; where they go is open.
type form accesslog.Sink

func (f form) to(w io.Writer) accesslog.Sink {
	f.Out = w
	return accesslog.Sink(f)
}

// accessSink returns the form that c asks for.
func accessSink(c *config.Config) form {
	switch format := c.AccessFormat(); format {
	case "common":
		return form{Format: accesslog.CommonLog}
	case "combined":
		return form{Format: accesslog.CombinedLog}
	case "text":
		return form{Handler: func(w io.Writer) slog.Handler { return newHandler(format, w, slog.LevelInfo) }}
	}
	return form{Format: accesslog.JSON}
}

// queue puts a queue in front of an output of that name. What it does not take is
// counted, and said in the log of the process.
func (a *accessLog) queue(set *metrics.Set, name string, out io.Writer, closer io.Closer) io.Writer {
	quiet, lost := &throttle.Throttle{}, 0
	q := logwriter.New(logwriter.Config{Out: out, Metrics: set, Tell: func(_ io.Writer, lines int, err error) {
		lost += lines
		if ok, _ := quiet.Allow(time.Now()); !ok {
			return
		}
		attrs := []any{"output", name, "lines", lost}
		if err != nil {
			attrs = append(attrs, "err", err)
		}
		a.logger.Warn("lines of the access log were lost: its output failed or was too slow", attrs...)
		lost = 0
	}})
	a.queues = append(a.queues, queue{lines: q, out: closer})
	return q
}

// reopen opens the file again, if there is one, and reports whether there is.
func (a *accessLog) reopen() bool {
	if a.file == nil {
		return false
	}
	if err := a.file.Reopen(); err != nil {
		a.logger.Error("the access log cannot be opened again; it goes on in the file that it has", "err", err)
	} else {
		a.logger.Info("the access log was opened again")
	}
	return true
}

// close writes what the log still has.
func (a *accessLog) close() {
	ctx, cancel := context.WithTimeout(context.Background(), logFlush)
	defer cancel()
	err := a.log.Close(ctx)
	for _, q := range a.queues {
		if e := q.lines.Close(ctx); e != nil {
			err = e
		}
		_ = q.out.Close() // it ends, whatever it says
	}
	if err != nil {
		a.logger.Warn("the end of the access log could not be written in time", "limit", logFlush)
	}
}
