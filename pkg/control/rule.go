package control

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"sluice/pkg/balance"
	"sluice/pkg/config"
)

// rule says what values a change may have.
type rule struct {
	kind Kind
	what What
	// check returns the canonical form of a value.
	check func(Target, string) (string, error)
	// allowed lists the values, or describes them in one entry.
	allowed []string
}

// Bounds of what is kept of a change, in bytes.
const (
	maxText  = 200
	maxValue = 2 << 10
)

// rules lists all that can be changed, in the order of the package's doc.
func rules() []rule {
	return []rule{
		{OfService, Strategy, strategy, balance.Names()},
		{OfService, PanicThreshold, serviceKey("panic-threshold"), []string{"percent, 0 to 100"}},
		{OfService, MaxEjection, serviceKey("max-ejection"), []string{"percent, 0 to 100"}},
		{OfService, EjectionTime, duration(time.Millisecond, 24*time.Hour), []string{"duration above 0, such as 30s"}},
		{OfService, SlowStart, serviceKey("slow-start"), []string{"duration from 0 to " + config.MaxSlowStart.String()}},
		{OfService, RetryBudget, percent, []string{"percent, 0 to 100"}},
		{OfService, Breaker, orOff("breaker"), []string{"PERCENT", "PERCENT:DURATION", "off"}},
		{OfService, MaxRequests, serviceKey("max-requests"), []string{"number from 0 up; 0 for no limit"}},
		{OfService, Rate, orOff("rate"), []string{"number a second of each client", "NUMBER/m", "NUMBER/h", "off"}},
		{OfService, RateBurst, serviceKey("rate-burst"), []string{"number from 0 up; 0 for a second's worth"}},
		{OfService, RateKey, serviceKey("rate-key"), []string{"client", "header:NAME"}},
		{OfService, InFleet, boolean, []string{"true", "false"}},
		{OfService, Concurrency, serviceKey("concurrency"), []string{"fixed", "adaptive"}},
		{OfService, MaxConns, serviceKey("max-conns"), []string{"number from 0 up; 0 for no limit"}},
		{OfService, Queue, number(1, 1<<20), []string{"number from 1 up"}},
		{OfService, QueueTimeout, duration(time.Millisecond, time.Hour), []string{"duration above 0, such as 5s"}},
		{OfService, Canary, canary, []string{"SERVICE:PERCENT", "HOST:PORT:PERCENT", "tag=NAME:PERCENT"}},
		{OfService, Maintenance, text, []string{"text, shown to clients"}},

		{OfBackend, Drain, orNothing(duration(0, 7*24*time.Hour)), []string{"nothing", "duration after which established connections are closed"}},
		{OfBackend, Weight, weight, []string{"number from 0 to 65535", "factor such as 0.5x", "percent such as 50%"}},
		{OfBackend, Force, oneOf("up", "down"), []string{"up", "down"}},
		{OfBackend, Eject, nothing, []string{"nothing"}},
		{OfBackend, Add, member, []string{"nothing", "weight=N,zone=Z,priority=N"}},
		{OfBackend, Remove, nothing, []string{"nothing"}},
		{OfBackend, Readmit, nothing, []string{"nothing"}},
		{OfBackend, Reset, oneOf("breaker", "ewma", "warmup", "all"), []string{"breaker", "ewma", "warmup", "all"}},

		{OfRoute, Set, route, []string{"what --route takes: [HOST]/PATH=SERVICE[,key=value...]"}},
		{OfRoute, Remove, nothing, []string{"nothing"}},
		{OfListener, Set, listener, []string{"l4 ADDR=SERVICE[,key=value...]", "l7 ADDR[,key=value...]"}},
		{OfListener, Remove, nothing, []string{"nothing"}},

		{OfProcess, LogLevel, oneOf(config.LogLevels()...), config.LogLevels()},
		{OfProcess, AccessLog, boolean, []string{"true", "false"}},
		{OfProcess, AccessLogSample, number(1, 1<<30), []string{"number from 1 up"}},
	}
}

// Whats lists what can be changed of a kind of target, in the order of the
// package's doc.
func Whats(k Kind) (all []What) {
	for _, r := range rules() {
		if r.kind == k {
			all = append(all, r.what)
		}
	}
	return all
}

// Allowed says which values a change may have: each of them, or one
// description.
func Allowed(k Kind, w What) []string {
	for _, r := range rules() {
		if r.kind == k && r.what == w {
			return r.allowed
		}
	}
	return nil
}

// Check returns c with its target and value in canonical form, or all that is
// wrong with it; each part is a Problem. now is when it is to begin.
func Check(c Change, now time.Time) (Change, Problems) { return check(c, now, rules()) }

func check(c Change, now time.Time, rules []rule) (Change, Problems) {
	var all Problems
	add := func(field, value, reason string, allowed ...string) {
		all = append(all, Problem{Field: field, Value: Shorten(value), Reason: reason, Allowed: allowed})
	}
	all = append(all, c.checkTarget()...)
	i := slices.IndexFunc(rules, func(r rule) bool { return r.kind == c.Target.Kind && r.what == c.What })
	switch {
	case c.Target.Kind == "" || !slices.Contains(kinds(), c.Target.Kind):
	case i < 0:
		var names []string
		for _, w := range Whats(c.Target.Kind) {
			names = append(names, string(w))
		}
		add("what", string(c.What), "a "+string(c.Target.Kind)+" has no such thing", names...)
	case len(c.Value) > maxValue:
		add(rules[i].field(), c.Value, fmt.Sprintf("it is longer than %d bytes", maxValue))
	default:
		value, err := rules[i].check(c.Target, strings.TrimSpace(c.Value))
		if err != nil {
			field, value := rules[i].field(), c.Value
			if c.What == Add {
				field, value = wrongOption(c.Target, value)
			}
			add(field, value, err.Error(), rules[i].allowed...)
		}
		c.Value = value
	}
	for _, t := range []struct{ field, value string }{{"reason", c.Reason}, {"by", c.By}} {
		if len(t.value) > maxText {
			add(t.field, t.value, fmt.Sprintf("it is longer than %d bytes", maxText))
		} else if strings.ContainsFunc(t.value, unicode.IsControl) {
			add(t.field, strconv.Quote(t.value), "it has control characters")
		}
	}
	if c.Expired(now) {
		add("ttl", c.Expires.Sub(now).String(), "it is not above 0")
	}
	if c.Local != "" && c.Local != Merge && c.Local != Drop {
		add("when_back", string(c.Local), "it is neither", string(Merge), string(Drop))
	}
	return c, all
}

// field is the name of the parameter that carries the value.
func (r rule) field() string {
	switch r.what {
	case Set:
		return string(r.kind)
	case Add:
		return "value"
	}
	return string(r.what)
}

// wrongOption returns which of a member's options is wrong, and its value.
func wrongOption(t Target, options string) (field, value string) {
	for option := range strings.SplitSeq(options, ",") {
		if _, err := member(t, option); err != nil {
			if key, v, ok := strings.Cut(option, "="); ok {
				return key, v
			}
		}
	}
	return "value", options
}

func kinds() []Kind { return []Kind{OfService, OfBackend, OfRoute, OfListener, OfProcess} }

// checkTarget brings the target into canonical form.
func (c *Change) checkTarget() (all Problems) {
	t := &c.Target
	add := func(field, value string, reason string, allowed ...string) {
		all = append(all, Problem{Field: field, Value: Shorten(value), Reason: reason, Allowed: allowed})
	}
	switch t.Kind {
	case OfService, OfBackend:
		if s := (config.Service{}); s.Set("service", t.Service) != nil {
			add("service", t.Service, "it is not a service's name: letters, digits, dot, dash and underscore")
		}
		if t.Kind == OfBackend {
			addr, err := ParseAddress(t.Name)
			if err == nil && c.What == Add {
				err = canBeAdded(addr)
			}
			if err != nil {
				add("backend", t.Name, err.Error(), "HOST:PORT", "[IPv6]:PORT", "http://HOST:PORT")
			}
			t.Name = addr
		}
	case OfRoute:
		if c.What == Set {
			if r, err := config.ParseRoute(c.Value); err == nil {
				t.Name = r.Key()
			}
			return all // the value says which, and its own check what is wrong
		}
		if t.Name == "" || !strings.Contains(t.Name, "/") || len(t.Name) > maxValue {
			add("route", t.Name, "it is not [HOST]/PATH")
		}
	case OfListener:
		if c.What == Set {
			if l, err := ParseListener(c.Value); err == nil {
				t.Name = l.Key()
			}
			return all
		}
		if t.Name == "" || len(t.Name) > maxValue {
			add("listener", t.Name, "it is not an address to listen on")
		}
	case OfProcess:
		*t = Process()
	default:
		var names []string
		for _, k := range kinds() {
			names = append(names, string(k))
		}
		add("target", string(t.Kind), "there is no such kind", names...)
	}
	return all
}

// Shorten bounds what is shown of a wrong value.
func Shorten(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
