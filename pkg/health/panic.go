package health

import (
	"log/slog"

	"sluice/pkg/backend"
)

// LogPanic logs whenever a pool begins or ceases to use members that are not
// eligible by themselves; see backend.Policy.
func LogPanic(p *backend.Pool, logger *slog.Logger) {
	panicking := false // OnChange calls one at a time
	p.OnChange(func(s *backend.Snapshot) {
		if s.Panic == panicking {
			return
		}
		panicking = s.Panic
		if panicking {
			logger.Warn("too few backends are available: all that are not drained are used, good or bad",
				"service", p.Service(), "available", s.Available(), "used", len(s.Eligible), "members", len(s.All))
			return
		}
		logger.Info("enough backends are available again", "service", p.Service(), "used", len(s.Eligible), "members", len(s.All))
	})
}
