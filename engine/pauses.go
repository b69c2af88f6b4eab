package engine

import (
	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/pause"
	"sluice/pkg/reactor"
)

// exposePauses writes when this process did not run as metrics: all of it, and
// its event loops, of which loops may be nil.
func exposePauses(set *metrics.Set, pauses *pause.Watch, loops *reactor.Group) {
	set.NewGauge("sluice_pauses_total", func() float64 { n, _ := pauses.Total(); return float64(n) })
	set.NewGauge("sluice_paused_seconds_total", func() float64 { _, d := pauses.Total(); return d.Seconds() })
	if loops != nil {
		set.NewGauge("sluice_loop_stalls_total", func() float64 { n, _ := loops.Stalls(); return float64(n) })
		set.NewGauge("sluice_loop_stalled_seconds_total", func() float64 { _, d := loops.Stalls(); return d.Seconds() })
		set.NewGauge("sluice_loops_stuck", func() float64 { return float64(loops.Stuck()) })
	}
}
