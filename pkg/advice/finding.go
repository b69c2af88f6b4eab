package advice

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Severity says how soon somebody should look.
type Severity string

// The severities, the worst first.
const (
	Critical Severity = "critical" // clients are served badly now, or will be at any moment
	Warning  Severity = "warning"  // the next fault will be worse than it need be
	Info     Severity = "info"     // something could be better
)

// Finding is something that an operator should look at.
type Finding struct {
	Rule        string   `json:"rule"`
	Severity    Severity `json:"severity"`
	Service     string   `json:"service,omitempty"`
	Backend     string   `json:"backend,omitempty"`
	Evidence    string   `json:"evidence"`
	Consequence string   `json:"consequence"`
	Action      string   `json:"action"` // what to do, in words
	// Call does it, if one call of the control plane can.
	Call *Call `json:"call,omitempty"`
}

// Call is a call of the control plane.
type Call struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Params map[string]string `json:"params"`
}

// rule is one rule.
type rule struct {
	name string
	find func(Facts) []Finding
}

// rules lists all rules, in the order in which findings of the same severity are
// shown.
func rules() []rule {
	return []rule{
		{"no_backend", noBackend},
		{"panic", panicEntered},
		{"source_trouble", sourceTrouble},
		{"saturation", saturation},
		{"connections_short", connectionsShort},
		{"ports_short", portsShort},
		{"latency_rise", latencyRise},
		{"slow_backend", slowBackend},
		{"ejected", ejected},
		{"retry_budget", retryBudget},
		{"breaker_flaps", breakerFlaps},
		{"single_backend", singleBackend},
		{"checks_blind", checksBlind},
		{"checks_aggressive", checksAggressive},
		{"stop_timeout", stopTimeout},
		{"forgotten_change", forgottenChange},
		{"weights_contradict", weightsContradict},
		{"skewed_keys", skewedKeys},
		{"slow_start_missing", slowStartMissing},
		{"few_clients", fewClients},
		{"trouble", troubles},
	}
}

// Rules returns the names of all rules.
func Rules() (names []string) {
	for _, r := range rules() {
		names = append(names, r.name)
	}
	return names
}

// Find returns all findings, the worst first. It is never nil.
func Find(f Facts) []Finding {
	all := []Finding{}
	for _, r := range rules() {
		for _, x := range r.find(f) {
			x.Rule = r.name
			all = append(all, x)
		}
	}
	order := []Severity{Critical, Warning, Info}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Severity), slices.Index(order, b.Severity))
	})
	return all
}

// ofServices is a rule that looks at services one by one.
func ofServices(f Facts, find func(Service) []Finding) (all []Finding) {
	for _, s := range f.Services {
		for _, x := range find(s) {
			x.Service = s.Name
			all = append(all, x)
		}
	}
	return all
}

// backendCall is a call about a backend.
func backendCall(service, address, what string, params map[string]string) *Call {
	return &Call{Method: "PUT", Path: "/admin/services/" + url.PathEscape(service) + "/backends/" + url.PathEscape(address) + "/" + what, Params: params}
}

// ms writes a latency.
func ms(seconds float64) string {
	switch {
	case seconds < 0.001:
		return fmt.Sprintf("%.2f ms", 1000*seconds)
	case seconds < 0.1:
		return fmt.Sprintf("%.1f ms", 1000*seconds)
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", 1000*seconds)
	}
	return fmt.Sprintf("%.2f s", seconds)
}

// percent writes a part of a whole.
func percent(part float64) string {
	s := fmt.Sprintf("%.1f", 100*part)
	return strings.TrimSuffix(s, ".0") + " %"
}

// rounded writes a duration as people do.
func rounded(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
