package main

import (
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/spf13/pflag"

	"sluice/pkg/config"
)

// offered is how many readings of the configuration are remembered of which it is
// not known whether they came into force.
const offered = 4

// flagMetrics shows every flag as a metric, as it is in force. All methods are
// safe for concurrent use.
type flagMetrics struct {
	mu     sync.Mutex
	start  *command // for what counts from a start on
	now    *command
	offers []*command
}

// exposeFlags writes every flag as a metric, as a way to see what runs where.
func exposeFlags(cmd *command, set *metrics.Set) *flagMetrics {
	m := &flagMetrics{start: cmd, now: cmd}
	set.RegisterMetricsWriter(m.write)
	set.NewGauge(fmt.Sprintf("sluice_build_info{version=%q,go=%q}", version, runtime.Version()), func() float64 { return 1 })
	return m
}

// offer remembers a reading that may come into force.
func (m *flagMetrics) offer(cmd *command) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.offers = append(m.offers, cmd); len(m.offers) > offered {
		m.offers = m.offers[1:]
	}
}

// take is told that the reading with that configuration has come into force.
func (m *flagMetrics) take(c *config.Config) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, cmd := range m.offers {
		if &cmd.config == c {
			m.now, m.offers = cmd, nil
			return
		}
	}
}

func (m *flagMetrics) write(w io.Writer) {
	m.mu.Lock()
	start, now := m.start, m.now
	m.mu.Unlock()
	now.flags.VisitAll(func(f *pflag.Flag) {
		if !config.Live(f.Name) {
			f = start.flags.Lookup(f.Name)
		}
		fmt.Fprintf(w, "sluice_flag{name=%q,value=%q,is_set=\"%t\"} 1\n", f.Name, flagValue(f), f.Changed)
	})
}

// flagValue returns the value of f as it may be shown: masked if it is a
// secret, and only so much of it.
func flagValue(f *pflag.Flag) string {
	if isSecret(f.Name) {
		return config.Secret(f.Value.String()).String()
	}
	return bounded(f.Value.String())
}
