package engine

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/engine/desired"
	"sluice/pkg/config"
	"sluice/pkg/metricset"
)

// Report says what a reload has changed.
type Report struct {
	// Changed is what is otherwise from now on, in order of the names.
	Changed []desired.Difference `json:"changed"`
	// Restart names the settings that are otherwise in what was read and count
	// from the next start on.
	Restart []string `json:"restart"`
}

// Reload reads the configuration again, and the certificates, and makes what
// runs be as it says. It is checked as a whole first: if anything is wrong with
// it, or cannot be had, nothing has changed, and the error says what; so does
// /readyz until a reload succeeds. Connections and requests that are open are not
// touched.
func (e *Engine) Reload() (Report, error) { return e.reloadFor("", "") }

// reloadFor is Reload, with who asked and why for the journal.
func (e *Engine) reloadFor(by, reason string) (Report, error) {
	e.reloads.one.Lock()
	defer e.reloads.one.Unlock()
	e.fronts.certs.reload()
	r, err := e.reload()
	e.reloads.note(r, err, time.Now())
	e.recorder.markReload(r, err)
	e.tellReload(r, err, by, reason)
	if err != nil {
		for _, p := range flat(err) {
			e.logger.Error("cannot reload the configuration; everything stays as it is", "err", p)
		}
		return Report{}, err
	}
	for i, d := range r.Changed {
		if i == mostToldChanges {
			e.logger.Info("and more", "changes", len(r.Changed)-i)
			break
		}
		e.logger.Info("changed by a reload", "what", d.What, "to", d.After, "from", d.Before)
	}
	if len(r.Restart) > 0 {
		e.logger.Warn("some settings that were changed count from the next start on", "settings", r.Restart)
	}
	e.logger.Info("configuration reloaded", "changes", len(r.Changed))
	return r, nil
}

// mostToldChanges is of how many changes of a reload the log tells one by one.
const mostToldChanges = 100

func (e *Engine) reload() (Report, error) {
	if e.read == nil {
		return Report{}, errors.New("the configuration cannot be read again")
	}
	next, err := e.read()
	if err != nil {
		return Report{}, err
	}
	e.turn.Lock()
	overlay, before := e.sources.Overlay, e.sources.Config
	e.turn.Unlock()
	if overlay.Len() > 0 {
		if err := checked(overlay.Over(next)); err != nil {
			return Report{}, fmt.Errorf("with what operators have changed: %w", err)
		}
	}
	state := e.State()
	if err := e.change(func(s *desired.Sources) { s.Config = next }); err != nil {
		return Report{}, err
	}
	if e.applied != nil {
		e.applied(next)
	}
	return Report{
		Changed: desired.Differences(state, e.State()),
		Restart: slices.DeleteFunc(config.Changed(before, next), config.Live),
	}, nil
}

// reloadBy is Reload on behalf of somebody, for the journal.
func (e *Engine) reloadBy(by, reason string) (Report, error) {
	e.logger.Info("an operator asks for a reload", "by", by, "reason", reason)
	return e.reloadFor(by, reason)
}

// planReload says what a reload would do. It changes nothing.
func (e *Engine) planReload() (Report, error) {
	if e.read == nil {
		return Report{}, errors.New("the configuration cannot be read again")
	}
	next, err := e.read()
	if err != nil {
		return Report{}, err
	}
	e.turn.Lock()
	sources := e.sources
	e.turn.Unlock()
	if sources.Overlay.Len() > 0 {
		if err := checked(sources.Overlay.Over(next)); err != nil {
			return Report{}, fmt.Errorf("with what operators have changed: %w", err)
		}
	}
	before := sources.Config
	sources.Config, sources.Called = next, e.services.called()
	state, _ := desired.Merge(sources)
	if err := e.fits(state); err != nil {
		return Report{}, err
	}
	return Report{
		Changed: desired.Differences(e.State(), state),
		Restart: slices.DeleteFunc(config.Changed(before, next), config.Live),
	}, nil
}

// reloads are how reloads went.
type reloads struct {
	one sync.Mutex // held while one is under way

	// mu protects the fields below.
	mu                         sync.Mutex
	changed, unchanged, failed uint64
	trouble                    error // of the last one
	at                         time.Time
	good                       time.Time // when one last succeeded, or the start
}

// note notes how a reload went.
func (r *reloads) note(report Report, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble, r.at = err, now
	switch {
	case err != nil:
		r.failed++
		return
	case len(report.Changed) > 0:
		r.changed++
	default:
		r.unchanged++
	}
	r.good = now
}

// troubles returns why the last reload changed nothing, in words.
func (r *reloads) troubles() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trouble == nil {
		return nil
	}
	return []string{fmt.Sprintf("the configuration could not be reloaded at %s: %s", r.at.UTC().Format(time.RFC3339), strings.ReplaceAll(r.trouble.Error(), "\n", "; "))}
}

// expose writes the metrics of reloads. The configuration was good at the start.
func (r *reloads) expose(sets *metricset.Sets) {
	r.good = time.Now()
	sets.Main.RegisterMetricsWriter(func(w io.Writer) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, x := range []struct {
			result string
			n      uint64
		}{{"changed", r.changed}, {"unchanged", r.unchanged}, {"error", r.failed}} {
			fmt.Fprintf(w, "sluice_config_reloads_total{result=%q} %d\n", x.result, x.n)
		}
		ok := 1
		if r.trouble != nil {
			ok = 0
		}
		fmt.Fprintf(w, "sluice_config_last_reload_successful %d\n", ok)
		fmt.Fprintf(w, "sluice_config_last_reload_timestamp_seconds %d\n", r.good.Unix())
	})
}
