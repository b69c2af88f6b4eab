package l7

import (
	"cmp"
	"time"

	"sluice/pkg/balance"
)

// Waits are limits that a service and a route may set for themselves: what the
// route says wins over the service, and that over the listener's Config. 0 is
// as the next one says, and negative no limit.
type Waits struct {
	// ConnectTimeout, ResponseTimeout and BodyTimeout are as in Config.
	// ConnectDeadline grows with the first, if that is more.
	ConnectTimeout, ResponseTimeout, BodyTimeout time.Duration
	// Retries is how many attempts may follow the first one of a request, where
	// another is safe. 0 at every level means balance.MaxTries less one, not
	// counting those of which a backend was refused at once while there is hope;
	// negative none.
	Retries int
	// UpgradeIdleTimeout, UpgradeFINTimeout, TotalTimeout and MinBodyRate are as
	// in Config.
	UpgradeIdleTimeout, UpgradeFINTimeout, TotalTimeout time.Duration
	MinBodyRate                                         int64
}

// waits are the limits of one exchange.
type waits struct {
	connect, deadline, response, body time.Duration
	retries                           int
	lenient                           bool // a refusal is not counted; see Waits.Retries
	upgradeIdle, upgradeFIN, total    time.Duration
	rate                              int64 // bytes a second; 0 or less: none is asked for
}

// waits returns the limits of a listener, whose defaults are filled in.
func (c *Config) waits() waits {
	w := waits{connect: c.ConnectTimeout, deadline: c.ConnectDeadline, response: c.ResponseTimeout, body: c.BodyTimeout, retries: c.Retries}
	w.upgradeIdle, w.upgradeFIN, w.total, w.rate = c.UpgradeIdleTimeout, c.UpgradeFINTimeout, c.TotalTimeout, c.MinBodyRate
	w.settle()
	return w
}

// with returns w with what own says instead.
func (w waits) with(own *Waits) waits {
	if *own == (Waits{}) {
		return w
	}
	w.connect = cmp.Or(limited(own.ConnectTimeout), w.connect)
	w.response = cmp.Or(limited(own.ResponseTimeout), w.response)
	w.body = cmp.Or(limited(own.BodyTimeout), w.body)
	if own.Retries != 0 {
		w.retries, w.lenient = own.Retries, false
	}
	w.upgradeIdle = cmp.Or(limited(own.UpgradeIdleTimeout), w.upgradeIdle)
	w.upgradeFIN = cmp.Or(limited(own.UpgradeFINTimeout), w.upgradeFIN)
	w.total = cmp.Or(limited(own.TotalTimeout), w.total)
	w.rate = cmp.Or(own.MinBodyRate, w.rate)
	w.settle()
	return w
}

// settle keeps the limits to each other, and to what is possible.
func (w *waits) settle() {
	w.deadline = max(w.deadline, w.connect)
	w.lenient = w.lenient || w.retries == 0
	if w.retries == 0 || w.retries >= balance.MaxTries {
		w.retries = balance.MaxTries - 1
	}
}

// limited returns a limit that may be added to any time.
func limited(d time.Duration) time.Duration {
	if d < 0 || d > forever {
		return forever
	}
	return d
}
