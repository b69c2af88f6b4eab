package engine

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"sluice/engine/desired"
	"sluice/pkg/accesslog"
)

// logs are what of the logs changes while this process runs.
type logs struct {
	level  *slog.LevelVar // nil: it cannot change
	access *accesslog.Log // nil: there is none
}

// become makes the logs as they are wanted.
func (l logs) become(want desired.Process) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(want.LogLevel)); err == nil && l.level != nil { // Validate has checked it
		l.level.Set(level)
	}
	if l.access != nil {
		l.access.Set(want.AccessLog, want.Sample)
	}
}

// phase is where a run is between start and stop.
type phase int32

const (
	starting phase = iota
	running
	draining
)

// lifecycle is the current phase. Its zero value is starting; it is safe for
// concurrent use.
type lifecycle struct{ phase atomic.Int32 }

func (l *lifecycle) set(p phase) { l.phase.Store(int32(p)) }
func (l *lifecycle) get() phase  { return phase(l.phase.Load()) }

// mostNamed is how many things are named where all could be meant.
const mostNamed = 5

// named names some of the names, each once, and counts the others.
func named(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d others", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}
