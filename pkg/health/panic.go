package health

import (
	"log/slog"

	"sluice/pkg/backend"
)

// LogLastResort logs whenever a pool begins or ceases to use members in warning
// whose weight is 0, because nobody else is left.
func LogLastResort(p *backend.Pool, logger *slog.Logger) {
	last := false // OnChange calls one at a time
	p.OnChange(func(s *backend.Snapshot) {
		if s.LastResort == last {
			return
		}
		last = s.LastResort
		if last {
			logger.Warn("nobody is left but members in warning, whose weight then is 0: they are used by their passing weight; "+
				"if they are to get nothing, drain them, or else give them a warning weight",
				"service", p.Service(), "used", len(s.Eligible), "members", len(s.All))
			return
		}
		logger.Info("others are available again than members in warning of weight 0", "service", p.Service(), "used", len(s.Eligible), "members", len(s.All))
	})
}

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
