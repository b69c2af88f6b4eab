package engine

import (
	"context"
	"log/slog"
	"time"

	"sluice/pkg/zone"
)

const (
	zoneTimeout  = 2 * time.Second // of one attempt to find the zone
	zoneRetry    = time.Second     // after the first attempt that failed; doubles
	zoneRetryMax = 30 * time.Second
)

// zoneAsker is somebody who may know in which zone this process runs; an empty
// zone means that he does not.
type zoneAsker struct {
	name string
	ask  func(ctx context.Context) (string, error)
}

// zoneAskers returns whom --zone=auto asks, in this order: ECS, if this is one
// of its containers, and Consul's agent.
func (ss *services) zoneAskers(ecs string) (askers []zoneAsker) {
	if ecs != "" {
		askers = append(askers, zoneAsker{"ECS", func(ctx context.Context) (string, error) { return zone.ECS(ctx, ecs) }})
	}
	if ss.registry != nil {
		askers = append(askers, zoneAsker{"Consul", ss.registry.Zone})
	}
	return askers
}

// findZone asks until somebody knows the zone, nobody does, or ctx ends. An
// asker who fails is asked again, since he may know.
func findZone(ctx context.Context, askers []zoneAsker, logger *slog.Logger) string {
	for wait := zoneRetry; ; wait = min(2*wait, zoneRetryMax) {
		failed := false
		for _, a := range askers {
			attempt, cancel := context.WithTimeout(ctx, zoneTimeout)
			zone, err := a.ask(attempt)
			cancel()
			switch {
			case ctx.Err() != nil:
				return ""
			case err != nil:
				failed = true
				if wait == zoneRetry {
					logger.Warn("cannot find out the own zone yet; none is preferred meanwhile", "asked", a.name, "err", err)
				}
			case zone != "":
				logger.Info("found out the own zone", "zone", zone, "from", a.name)
				return zone
			}
		}
		if !failed {
			logger.Warn("nobody knows the own zone, so none is preferred; name it by --zone", "asked", len(askers))
			return ""
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ""
		}
	}
}
