package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sluice/engine"
	"sluice/pkg/handover"
	"sluice/pkg/notify"
)

// successorLimit is how long a new process may take until it serves.
const successorLimit = time.Minute

// succession starts a new process of the same program, which may have been
// replaced meanwhile, with the same arguments, in the place of this one.
type succession struct {
	program  string // found at the start, lest the folder or PATH changes
	args     []string
	environ  []string
	engine   *engine.Engine
	notifier *notify.Notifier
	logger   *slog.Logger

	ended  chan result // nil while nobody is about to succeed
	cancel context.CancelFunc
}

// result is what became of a successor.
type result struct {
	pid int
	err error
}

// program returns where this program is, by the name that it was called by, so
// that a link to another version is followed again; empty if nobody knows.
func program() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable()
	}
	return path
}

// begin starts a successor; ended tells what became of it.
func (s *succession) begin(sig os.Signal) {
	switch {
	case s.ended != nil:
		s.logger.Warn("ignored a signal: a new process is being started already", "signal", sig.String())
		return
	case os.Getpid() == 1:
		s.logger.Warn("ignored a signal: with the end of this process, the first of its container, the new one would end, too; start another container instead", "signal", sig.String())
		return
	}
	s.notifier.Reloading("starting a new process")
	s.logger.Info("starting a new process, which takes over the listeners", "signal", sig.String(), "program", s.program, "limit", successorLimit)
	ctx, cancel := context.WithTimeout(context.Background(), successorLimit)
	ended := make(chan result, 1)
	s.ended, s.cancel = ended, cancel
	go func() {
		defer cancel()
		pid, err := s.start(ctx)
		ended <- result{pid, err}
	}()
}

// start starts a successor and waits until it serves.
func (s *succession) start(ctx context.Context) (pid int, err error) {
	if s.program == "" {
		return 0, errors.New("it is not known where the program is")
	}
	offers, withdraw, err := s.engine.Offers()
	if err != nil {
		return 0, err
	}
	defer withdraw()
	next, err := handover.Start(handover.Command{Path: s.program, Args: append([]string{os.Args[0]}, s.args...), Environ: s.environ}, offers)
	if err != nil {
		return 0, err
	}
	return next.PID(), next.Await(ctx)
}

// judge takes note of what became of a successor and reports whether there is
// one now.
func (s *succession) judge(r result) bool {
	s.ended = nil
	if r.err != nil {
		s.logger.Error("the new process has failed; this one goes on", "pid", r.pid, "err", r.err)
		s.notifier.Ready("a new process has failed: " + r.err.Error())
		return false
	}
	s.logger.Info("the new process serves", "pid", r.pid)
	s.notifier.MainPID(r.pid, "ready")
	return true
}

// abort ends a successor that is not ready yet.
func (s *succession) abort() {
	if s.ended != nil {
		s.cancel()
		<-s.ended
	}
}

// handOver has e end once its successor serves. A first signal makes it hurry as
// a stop does, and a second one cuts what is left.
func handOver(e *engine.Engine, signals <-chan os.Signal) {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	hurry, hurried := context.WithCancel(ctx)
	go func() {
		for _, act := range []func(){hurried, cut} {
			select {
			case <-signals:
				act()
			case <-ctx.Done():
			}
		}
	}()
	e.HandOver(ctx, hurry)
}

// answerWatchdog tells the supervisor, as often as it asks for, that the event
// loops run, until ctx ends.
func answerWatchdog(ctx context.Context, n *notify.Notifier, e *engine.Engine) {
	if n.Watchdog() == 0 {
		return
	}
	ticker := time.NewTicker(max(n.Watchdog()/3, time.Millisecond))
	defer ticker.Stop()
	for {
		if !e.Stuck() {
			n.Alive()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
