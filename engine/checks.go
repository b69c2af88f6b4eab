package engine

import (
	"context"
	"log/slog"
	"sync"

	"sluice/discovery"
	"sluice/pkg/health"
)

// memberChecks is the check of a service whose members may name their own. An
// operator's word, check= of --service, wins over theirs.
type memberChecks struct {
	fixed  bool                     // members have no say
	others map[string]*memberChecks // of services that this one fails over to
	logger *slog.Logger

	// mu protects the fields below. via is written by the goroutine alone that
	// calls set.
	mu        sync.Mutex
	service   health.Check // nil: none
	via       health.Via
	byAddress map[string]health.Check // of members that name one
	told      map[string]bool         // what of the members there are could not be used and was logged
}

func newMemberChecks(service health.Check, fixed bool, via health.Via, logger *slog.Logger) *memberChecks {
	return &memberChecks{service: service, fixed: fixed, via: via, logger: logger, told: make(map[string]bool), others: make(map[string]*memberChecks)}
}

// asCheck returns c as a check for the monitor, nil if nobody is ever checked.
func (c *memberChecks) asCheck() health.Check {
	if c.fixed && c.service == nil && len(c.others) == 0 {
		return nil
	}
	return c
}

// set takes note of what members want.
func (c *memberChecks) set(members []discovery.Member) {
	if c.fixed && len(c.others) == 0 {
		return
	}
	byAddress, told := make(map[string]health.Check), make(map[string]bool)
	for _, m := range members {
		fixed := c.fixed
		if other := c.others[m.From]; other != nil {
			fixed, byAddress[m.Address] = other.fixed, other.service
		}
		if fixed || m.Check == "" {
			continue
		}
		check, err := health.ParseCheck(m.Check, c.via)
		if err != nil {
			key := m.ID + " " + m.Check
			if told[key] = true; !c.told[key] {
				c.logger.Warn("ignored the check that a member asks for", "id", m.ID, "reason", err)
			}
			continue
		}
		byAddress[m.Address] = check
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byAddress, c.told = byAddress, told
}

// replace puts another check of the service, and another way to its members, in
// place of the old ones. The checks that members name follow with the next set.
func (c *memberChecks) replace(service health.Check, via health.Via) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.service, c.via = service, via
}

// of returns the check of address, nil for none.
func (c *memberChecks) of(address string) health.Check {
	c.mu.Lock()
	defer c.mu.Unlock()
	if check, named := c.byAddress[address]; named {
		return check
	}
	return c.service
}

// made reports whether address is checked at all.
func (c *memberChecks) made(address string) bool { return c.of(address) != nil }

// Probe makes the check of address; none passes.
func (c *memberChecks) Probe(ctx context.Context, address string) (health.Result, error) {
	if check := c.of(address); check != nil {
		return check.Probe(ctx, address)
	}
	return health.Result{}, nil
}

func (c *memberChecks) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.service == nil {
		return "check"
	}
	return c.service.String()
}
