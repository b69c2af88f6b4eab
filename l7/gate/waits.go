package gate

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
	// RetryOn is as in Config; negative is none.
	RetryOn int
}

// Limits are those of one request. What has none is Forever.
type Limits struct {
	Connect  time.Duration // one attempt to connect to a backend
	Deadline time.Duration // all of them
	Response time.Duration // the backend's response, once the whole request was sent
	Body     time.Duration // in which no byte of a body may move
	// UpgradeIdle is for how long no byte may move after a switch of protocols,
	// and UpgradeFIN the same once one side has ended its direction.
	UpgradeIdle, UpgradeFIN time.Duration
	Total                   time.Duration // the whole exchange, but for one that has switched protocols
	MinRate                 int64         // bytes a second of a body that its client alone is waited for with; 0 or less: none is asked for

	retries int
	retryOn int  // statuses of gRPC, a bit for each
	lenient bool // a refusal is not counted; see Waits.Retries
}

// newLimits returns the limits of a listener, whose defaults are filled in.
func newLimits(c *Config) Limits {
	l := Limits{Connect: c.ConnectTimeout, Deadline: c.ConnectDeadline, Response: c.ResponseTimeout, Body: c.BodyTimeout, retries: c.Retries}
	l.retryOn = c.RetryOn
	l.UpgradeIdle, l.UpgradeFIN, l.Total, l.MinRate = c.UpgradeIdleTimeout, c.UpgradeFINTimeout, c.TotalTimeout, c.MinBodyRate
	l.settle()
	return l
}

// with returns l with what own says instead.
func (l Limits) with(own *Waits) Limits {
	if *own == (Waits{}) {
		return l
	}
	l.Connect = cmp.Or(limited(own.ConnectTimeout), l.Connect)
	l.Response = cmp.Or(limited(own.ResponseTimeout), l.Response)
	l.Body = cmp.Or(limited(own.BodyTimeout), l.Body)
	if own.Retries != 0 {
		l.retries, l.lenient = own.Retries, false
	}
	l.UpgradeIdle = cmp.Or(limited(own.UpgradeIdleTimeout), l.UpgradeIdle)
	l.UpgradeFIN = cmp.Or(limited(own.UpgradeFINTimeout), l.UpgradeFIN)
	l.Total = cmp.Or(limited(own.TotalTimeout), l.Total)
	l.MinRate = cmp.Or(own.MinBodyRate, l.MinRate)
	l.retryOn = max(0, cmp.Or(own.RetryOn, l.retryOn))
	l.settle()
	return l
}

// settle keeps the limits to each other, and to what is possible.
func (l *Limits) settle() {
	l.Deadline = max(l.Deadline, l.Connect)
	l.lenient = l.lenient || l.retries == 0
	if l.retries == 0 || l.retries >= balance.MaxTries {
		l.retries = balance.MaxTries - 1
	}
}

// limited returns a limit that may be added to any time.
func limited(d time.Duration) time.Duration {
	if d < 0 || d > Forever {
		return Forever
	}
	return d
}
