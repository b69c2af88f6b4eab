package engine

import (
	"log/slog"

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
