package control

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// bookMetrics are the metrics of a book; its zero value counts nothing.
type bookMetrics struct{ ops map[Op]*metrics.Counter }

// expose makes the metrics of a book in set, which may be nil.
func (m *bookMetrics) register(set *metrics.Set, b *Book) {
	if set == nil {
		return
	}
	m.ops = make(map[Op]*metrics.Counter)
	for _, op := range []Op{WasSet, Undone, Expired} {
		m.ops[op] = set.NewCounter(fmt.Sprintf("sluice_changes_total{op=%q}", string(op)))
	}
	set.NewGauge("sluice_changes_in_force", func() float64 { return float64(b.Overlay().Len()) })
	set.NewGauge("sluice_changes_version", func() float64 { return float64(b.Overlay().Version) })
	set.NewGauge("sluice_changes_local", func() float64 {
		b.mu.Lock()
		defer b.mu.Unlock()
		return float64(b.local.Active(time.Now()).Len())
	})
	set.NewGauge("sluice_changes_store_connected", func() float64 {
		if _, err := b.Trouble(); err != nil {
			return 0
		}
		return 1
	})
}

func (m *bookMetrics) count(r Record) {
	if c := m.ops[r.Op]; c != nil {
		c.Inc()
	}
}
