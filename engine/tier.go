package engine

import (
	"log/slog"

	"sluice/pkg/backend"
)

// logTiers logs whenever a pool goes over to members of another priority; see
// backend.Target.
func logTiers(p *backend.Pool, logger *slog.Logger) {
	tier := 0 // OnChange calls one at a time
	p.OnChange(func(s *backend.Snapshot) {
		if s.Tier == tier {
			return
		}
		from := tier
		tier = s.Tier
		attrs := []any{"service", p.Service(), "from", from, "tier", tier, "tiers", s.Tiers, "used", len(s.Eligible)}
		if tier > from {
			logger.Warn("no member of an earlier tier can serve: those of the next one are used", attrs...)
			return
		}
		logger.Info("members of an earlier tier can serve again and are used", attrs...)
	})
}
