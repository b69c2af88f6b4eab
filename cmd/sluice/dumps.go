package main

import (
	"fmt"
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"sluice/engine"
	"sluice/pkg/config"
	"sluice/pkg/dump"
)

// dumps are those of the metrics, if they are wanted.
type dumps struct{ dumper *dump.Dumper }

// openDumps begins to dump the metrics of e as c asks for.
func openDumps(c *config.Config, e *engine.Engine, set *metrics.Set, logger *slog.Logger) (dumps, error) {
	if c.MetricsDump == "" {
		return dumps{}, nil
	}
	want, _ := c.MetricsDump.Parse() // Validate has checked it
	d, err := dump.New(dump.Config{Dir: want.Dir, Interval: want.Interval, Keep: want.Keep, MaxSize: want.MaxSize, Write: e.WriteMetrics, Metrics: set, Logger: logger})
	if err != nil {
		return dumps{}, fmt.Errorf("--metrics-dump: %w", err)
	}
	return dumps{d}, nil
}

// close writes the last one.
func (d dumps) close() {
	if d.dumper != nil {
		d.dumper.Close()
	}
}
