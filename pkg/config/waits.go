package config

import (
	"fmt"
	"time"
)

// MaxRetries is how many other backends a connection or request may try after
// its first one.
const MaxRetries = 2

// Waits are limits that a listener, a service and a route may set for
// themselves: what the route says wins over the service, and that over the
// listener and the flags. Nil is as one of them further up says, and a time of
// 0 is no limit.
type Waits struct {
	ConnectTimeout *time.Duration // above 0
	Retries        *int           // 0: none
}

func (w *Waits) keys() []string { return []string{"connect-timeout", "retries"} }

func (w *Waits) set(key, value string) (err error) {
	switch key {
	case "connect-timeout":
		if w.ConnectTimeout, err = wait(key, value); err == nil && *w.ConnectTimeout == 0 {
			err = fmt.Errorf("connect-timeout=%q is not above 0", value)
		}
	case "retries":
		n, bad := count(key, value)
		if bad != nil || n > MaxRetries {
			return fmt.Errorf("retries=%q is not a number from 0, for none, to %d", value, MaxRetries)
		}
		w.Retries = &n
	}
	return err
}

func (w *Waits) pairs() []pair {
	return []pair{{"connect-timeout", optional(w.ConnectTimeout)}, {"retries", optional(w.Retries)}}
}

// Over returns w with what it does not say as next says.
func (w Waits) Over(next Waits) Waits {
	return Waits{ConnectTimeout: first(w.ConnectTimeout, next.ConnectTimeout), Retries: first(w.Retries, next.Retries)}
}

// maxBodyRate is the most that may be asked of clients, in bytes a second.
const maxBodyRate = 1 << 30

// HTTPWaits are those of Waits that HTTP alone knows.
type HTTPWaits struct {
	ResponseTimeout    *time.Duration
	BodyTimeout        *time.Duration
	TotalTimeout       *time.Duration
	UpgradeIdleTimeout *time.Duration
	UpgradeFINTimeout  *time.Duration
	MinBodyRate        *int // bytes a second; 0: any
	RetryOn            *RetryOn
}

func (w *HTTPWaits) keys() []string {
	return []string{"response-timeout", "body-timeout", "total-timeout", "upgrade-idle-timeout", "upgrade-fin-timeout", "min-body-rate", "retry-on"}
}

func (w *HTTPWaits) set(key, value string) (err error) {
	switch key {
	case "response-timeout":
		w.ResponseTimeout, err = wait(key, value)
	case "body-timeout":
		w.BodyTimeout, err = wait(key, value)
	case "total-timeout":
		w.TotalTimeout, err = wait(key, value)
	case "upgrade-idle-timeout":
		w.UpgradeIdleTimeout, err = wait(key, value)
	case "upgrade-fin-timeout":
		w.UpgradeFINTimeout, err = wait(key, value)
	case "min-body-rate":
		n := 0
		if value != "0" {
			rate, bad := size(key, value)
			if bad != nil || rate > maxBodyRate {
				return fmt.Errorf("min-body-rate=%q is not a number of bytes a second such as 64 or 1k, or 0 for any", value)
			}
			n = int(rate)
		}
		w.MinBodyRate = &n
	case "retry-on":
		w.RetryOn, err = parseRetryOn(key, value)
	}
	return err
}

func (w *HTTPWaits) pairs() []pair {
	return []pair{
		{"response-timeout", optional(w.ResponseTimeout)}, {"body-timeout", optional(w.BodyTimeout)}, {"total-timeout", optional(w.TotalTimeout)},
		{"upgrade-idle-timeout", optional(w.UpgradeIdleTimeout)}, {"upgrade-fin-timeout", optional(w.UpgradeFINTimeout)},
		{"min-body-rate", optional(w.MinBodyRate)}, {"retry-on", optional(w.RetryOn)},
	}
}

// first returns the first key that is set.
func (w *HTTPWaits) first() string {
	for _, p := range w.pairs() {
		if p.value != "" {
			return p.key
		}
	}
	return ""
}

// TCPWaits are those of Waits that TCP alone knows; listeners and services have
// them.
type TCPWaits struct {
	IdleTimeout *time.Duration
	FINTimeout  *time.Duration
}

func (w *TCPWaits) keys() []string { return []string{"idle-timeout", "fin-timeout"} }

func (w *TCPWaits) set(key, value string) (err error) {
	switch key {
	case "idle-timeout":
		w.IdleTimeout, err = wait(key, value)
	case "fin-timeout":
		w.FINTimeout, err = wait(key, value)
	}
	return err
}

func (w *TCPWaits) pairs() []pair {
	return []pair{{"idle-timeout", optional(w.IdleTimeout)}, {"fin-timeout", optional(w.FINTimeout)}}
}

// Over is as that of Waits.
func (w TCPWaits) Over(next TCPWaits) TCPWaits {
	return TCPWaits{IdleTimeout: first(w.IdleTimeout, next.IdleTimeout), FINTimeout: first(w.FINTimeout, next.FINTimeout)}
}

// Heads bound the heads of the requests that an HTTP listener takes, and the
// time between and for them.
type Heads struct {
	MaxHead     int            // bytes; 0: 32 KiB
	MaxFields   int            // header lines; 0: 200
	MaxTarget   int            // bytes of the request target; 0: 16 KiB
	HeadTimeout *time.Duration // above 0
	IdleTimeout *time.Duration // between requests
	FINTimeout  *time.Duration
}

// Bounds of what may be set: a head must fit a loop's buffer several times.
const (
	minHead   = 1 << 10
	maxHead   = 1 << 20
	maxFields = 10_000
)

func (h *Heads) keys() []string {
	return []string{"max-head", "max-fields", "max-target", "head-timeout", "idle-timeout", "fin-timeout"}
}

func (h *Heads) set(key, value string) (err error) {
	switch key {
	case "max-head", "max-target":
		n, err := size(key, value)
		switch {
		case err != nil:
			return err
		case n < minHead && key == "max-head" || n < 16 || n > maxHead:
			return fmt.Errorf("%s=%q is not a size from %d bytes to 1m", key, value, map[string]int{"max-head": minHead, "max-target": 16}[key])
		case key == "max-head":
			h.MaxHead = int(n)
		default:
			h.MaxTarget = int(n)
		}
	case "max-fields":
		if h.MaxFields, err = count(key, value); err == nil && (h.MaxFields < 1 || h.MaxFields > maxFields) {
			err = fmt.Errorf("max-fields=%q is not a number from 1 to %d", value, maxFields)
		}
	case "head-timeout":
		if h.HeadTimeout, err = wait(key, value); err == nil && *h.HeadTimeout == 0 {
			err = fmt.Errorf("head-timeout=%q is not above 0", value)
		}
	case "idle-timeout":
		h.IdleTimeout, err = wait(key, value)
	case "fin-timeout":
		h.FINTimeout, err = wait(key, value)
	}
	return err
}

func (h *Heads) check() error {
	if h.MaxHead > 0 && h.MaxTarget >= h.MaxHead {
		return fmt.Errorf("max-target=%d does not fit into max-head=%d", h.MaxTarget, h.MaxHead)
	}
	return nil
}

func (h *Heads) pairs() []pair {
	return []pair{
		{"max-head", nonzero(h.MaxHead)}, {"max-fields", nonzero(h.MaxFields)}, {"max-target", nonzero(h.MaxTarget)},
		{"head-timeout", optional(h.HeadTimeout)}, {"idle-timeout", optional(h.IdleTimeout)}, {"fin-timeout", optional(h.FINTimeout)},
	}
}

// wait reads a time from 0 up.
func wait(key, value string) (*time.Duration, error) {
	d, err := duration(key, value)
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// first returns a if it says something, else b.
func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
