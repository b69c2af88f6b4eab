package control

import (
	"fmt"
	"strings"
	"time"
)

// What is what of a target is changed; see the package's doc for all of them.
type What string

// What can be changed.
const (
	Strategy       What = "strategy"
	PanicThreshold What = "panic_threshold"
	MaxEjection    What = "max_ejection"
	EjectionTime   What = "ejection_time"
	SlowStart      What = "slow_start"
	RetryBudget    What = "retry_budget"
	Breaker        What = "breaker"
	MaxRequests    What = "max_requests"
	Rate           What = "rate"
	RateBurst      What = "rate_burst"
	RateKey        What = "rate_key"
	InFleet        What = "fleet"
	Concurrency    What = "concurrency"
	MaxConns       What = "max_conns"
	Queue          What = "queue"
	QueueTimeout   What = "queue_timeout"
	Canary         What = "canary"
	Maintenance    What = "maintenance"

	Drain   What = "drain"
	Weight  What = "weight"
	Force   What = "force"
	Eject   What = "eject"
	Add     What = "add"
	Remove  What = "remove"
	Readmit What = "readmit"
	Reset   What = "reset"

	Set What = "set"

	LogLevel        What = "log_level"
	AccessLog       What = "access_log"
	AccessLogSample What = "access_log_sample"
)

// Change is one thing that an operator wants otherwise than the configuration
// says. It is comparable.
type Change struct {
	Target Target
	What   What
	// Value is in the form that Check returns.
	Value string

	// Reason and By say why and who; they may be empty.
	Reason, By string
	// At is when it was made.
	At time.Time
	// Expires is when it undoes itself; zero means never.
	Expires time.Time
	// Version is that of the overlay with which it came. An action, see
	// Action, is done once for each Version.
	Version uint64
	// Local says that it was made here alone, since the store could not be
	// reached, and what becomes of it when it can; empty if it was not.
	Local Local
}

// Local is what becomes of a change that was made on one sluice of a fleet
// alone, once the fleet's store is back.
type Local string

// A change that was made here alone can be merged into the fleet's, unless
// that has changed the same meanwhile, or dropped.
const (
	Merge Local = "merge"
	Drop  Local = "drop"
)

// Key is what there can be one change of. It is comparable.
type Key struct {
	Target Target
	What   What
}

// Key returns what c is a change of.
func (c Change) Key() Key { return Key{c.Target, c.What} }

// String returns k as the API names it: the kind, the service, the name and
// what, separated by spaces.
func (k Key) String() string { return k.Target.String() + " " + string(k.What) }

// String returns c in words that a log line can have.
func (c Change) String() string {
	s := c.Key().String()
	if c.Value != "" {
		s += fmt.Sprintf("=%s", c.Value)
	}
	return s
}

// Expired reports whether c has undone itself by now.
func (c Change) Expired(now time.Time) bool { return !c.Expires.IsZero() && !now.Before(c.Expires) }

// Action reports whether c is something that is done once, such as a reset,
// rather than a state. It is in an overlay for a while, so that all sluices of
// a fleet see it.
func (c Change) Action() bool { return c.What == Readmit || c.What == Reset }

// sameWord reports whether c asks for the same as d, whoever asked.
func (c Change) sameWord(d Change) bool {
	return c.Key() == d.Key() && c.Value == d.Value && c.Expires.Equal(d.Expires) && !c.Action()
}

// ParseKey reads what Key.String writes.
func ParseKey(s string) (Key, error) {
	fields := strings.Fields(s)
	bad := fmt.Errorf("%q names no change, such as backend web 10.0.0.1:80 drain", Shorten(s))
	if len(fields) < 2 {
		return Key{}, bad
	}
	k := Key{Target: Target{Kind: Kind(fields[0])}, What: What(fields[len(fields)-1])}
	rest := fields[1 : len(fields)-1]
	switch {
	case k.Target.Kind == OfService && len(rest) == 1:
		k.Target.Service = rest[0]
	case k.Target.Kind == OfBackend && len(rest) == 2:
		k.Target.Service, k.Target.Name = rest[0], rest[1]
	case (k.Target.Kind == OfRoute || k.Target.Kind == OfListener) && len(rest) > 0:
		k.Target.Name = strings.Join(rest, " ")
	case k.Target.Kind == OfProcess && len(rest) == 0:
	default:
		return Key{}, bad
	}
	return k, nil
}
