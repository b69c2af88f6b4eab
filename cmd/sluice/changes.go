package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/config"
	"sluice/pkg/control"
	"sluice/pkg/control/fleet"
)

// openBook opens where what operators change is kept: Consul for a fleet, a file,
// or memory. A Consul that is away or has what nobody understands is no error.
func openBook(c *config.Config, set *metrics.Set, logger *slog.Logger) (*control.Book, *fleet.Fleet, error) {
	journal := control.NewJournal()
	var shared *fleet.Fleet
	store, err := control.NewMemory(), error(nil)
	switch {
	case c.Fleet != "":
		if shared, err = fleet.New(fleet.Config{Name: c.Fleet, Address: c.Consul, Logger: logger}); err != nil {
			return nil, nil, fmt.Errorf("--fleet: %w", err)
		}
		store = shared
	case c.State != "":
		store, err = control.OpenFile(c.State, func(broken string, err error) {
			logger.Error("the file with what operators changed is broken and was moved aside; none of it is in force", "file", c.State, "moved_to", broken, "err", err)
			journal.Add(control.Event{Kind: control.Told, Message: "the file " + c.State + " is broken and was moved to " + broken})
		})
		if err != nil {
			return nil, nil, fmt.Errorf("--state: %w", err)
		}
	}
	book := control.NewBook(context.Background(), control.Config{Store: store, Journal: journal, Logger: logger, Metrics: set})
	return book, shared, nil
}
