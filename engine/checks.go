package engine

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"

	"sluice/discovery"
	"sluice/engine/desired"
	"sluice/pkg/backend"
	"sluice/pkg/config"
	"sluice/pkg/health"
)

// checkRules say how the members of a service are checked. An operator's word,
// check= of --service, wins over theirs.
type checkRules struct {
	fixed   bool                  // members have no say
	service health.Check          // nil: none
	others  map[string]checkRules // of services that this one fails over to
	via     health.Via
}

// checkRules returns how the members of a service are to be checked.
func (ss *services) checkRules(want desired.Service) (checkRules, error) {
	tlsConfig, err := backendTLS(want.Settings)
	if err != nil {
		return checkRules{}, fmt.Errorf("--service: %w", err)
	}
	via := health.Via{ProxyOut: want.Settings.ProxyOut, TLS: tlsConfig, HTTP2: want.Settings.Speaks().Multiplexed()}
	rules, err := rulesOf(want.Settings, want.FixedCheck(), want.TCP, via)
	if err != nil {
		return rules, err
	}
	for _, o := range want.Origins {
		if o.From == "" || !o.Service {
			continue
		}
		if rules.others == nil {
			rules.others = make(map[string]checkRules)
		}
		if rules.others[o.From], err = rulesOf(o.Settings, o.FixedCheck, want.TCP, via); err != nil {
			return rules, err
		}
	}
	return rules, nil
}

func rulesOf(settings config.Service, fixed, tcp bool, via health.Via) (checkRules, error) {
	check, err := health.ParseCheck(settings.Check, via)
	if err != nil {
		return checkRules{}, fmt.Errorf("--service: %w", err)
	}
	if !fixed && !tcp && !via.HTTP2 {
		check = health.NewAutoCheck(via)
	}
	return checkRules{fixed: fixed, service: check, via: via}, nil
}

// silent reports whether nobody is ever checked.
func (r checkRules) silent() bool { return r.fixed && r.service == nil && len(r.others) == 0 }

// memberChecks is the check of a service whose members may name their own.
type memberChecks struct {
	logger *slog.Logger

	// mu protects the fields below.
	mu        sync.Mutex
	rules     checkRules
	byAddress map[string]health.Check // of members that name one
	told      map[string]bool         // what of the members there are could not be used and was logged
}

func newMemberChecks(logger *slog.Logger) *memberChecks {
	return &memberChecks{logger: logger, told: make(map[string]bool)}
}

// viaTo returns how a member is reached that says itself what it speaks.
func (r *checkRules) viaTo(m *discovery.Member) health.Via {
	p, ok := backend.ParseProtocol(m.Protocol)
	if m.Protocol == "" || !ok {
		return r.via
	}
	via := r.via
	if via.HTTP2 = p.Multiplexed(); !p.Secure() {
		via.TLS = nil
	} else if via.TLS == nil {
		via.TLS = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: m.SkipVerify, ServerName: m.ServerName}
	}
	return via
}

// asCheck returns c as a check for the monitor, nil if nobody is ever checked.
func (c *memberChecks) asCheck() health.Check {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rules.silent() {
		return nil
	}
	return c
}

// become takes other rules. The checks that members name follow with the next
// set.
func (c *memberChecks) become(rules checkRules) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = rules
}

// set takes note of what members want. It is called from one goroutine at a
// time.
func (c *memberChecks) set(members []discovery.Member) {
	c.mu.Lock()
	rules, before := c.rules, c.told
	c.mu.Unlock()
	byAddress, told := make(map[string]health.Check), make(map[string]bool)
	for _, m := range members {
		if rules.fixed && len(rules.others) == 0 {
			break
		}
		fixed := rules.fixed
		if other, ok := rules.others[m.From]; ok && m.From != "" {
			fixed, byAddress[m.Address] = other.fixed, other.service
		}
		if fixed || m.Check == "" && m.Protocol == "" {
			continue
		}
		check, err := health.ParseCheck(cmp.Or(m.Check, "tcp"), rules.viaTo(&m))
		if err != nil {
			key := m.ID + " " + m.Check
			if told[key] = true; !before[key] {
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

// of returns the check of address, nil for none.
func (c *memberChecks) of(address string) health.Check {
	c.mu.Lock()
	defer c.mu.Unlock()
	if check, named := c.byAddress[address]; named {
		return check
	}
	return c.rules.service
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
	if c.rules.service == nil {
		return "check"
	}
	return c.rules.service.String()
}
