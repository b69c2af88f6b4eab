package loop

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/h2"
	"sluice/pkg/throttle"
)

// faults counts and logs connections of HTTP/2 that were ended for what their
// client did.
type faults struct {
	name   string
	logger *slog.Logger
	counts map[h2.Code]*metrics.Counter
	shown  throttle.Throttle
}

func newFaults(name string, set *metrics.Set, logger *slog.Logger) *faults {
	f := &faults{name: name, logger: logger, counts: make(map[h2.Code]*metrics.Counter)}
	for _, c := range h2.Codes() {
		f.counts[c] = set.GetOrCreateCounter(fmt.Sprintf("sluice_l7_h2_faults_total{code=%q}", c))
	}
	return f
}

// count may be called from any loop.
func (f *faults) count(c h2.Code, client netip.AddrPort, err error) {
	if n := f.counts[c]; n != nil {
		n.Inc()
	}
	if ok, more := f.shown.Allow(time.Now()); ok {
		f.logger.Info("ended connections of HTTP/2 for what their clients did", "listener", "l7", "name", f.name, "client", client.Addr(), "code", c.String(), "err", err, "more", more)
	}
}
