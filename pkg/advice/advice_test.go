package advice

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func now() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC) }

// members returns n backends that are well, of 20 ms each.
func members(n int) (all []Backend) {
	for i := range n {
		all = append(all, Backend{
			Address: "10.0.0." + string(rune('1'+i)) + ":80", Weight: 1, Eligible: true, Latency: 0.020, Measured: 1, Picks: 1000, Active: 2, ChecksPassed: 500,
		})
	}
	return all
}

// service returns a service in which all is well.
func service() Service {
	return Service{
		Name: "web", Strategy: "p2c", Backends: members(4), PanicThreshold: 50,
		Limits:  Limits{MaxRequests: 1000, MaxConns: 100, RetryBudget: 20},
		Health:  Health{Checked: true, HTTP: true, Interval: 2 * time.Second, Timeout: time.Second, Fall: 3},
		Traffic: Traffic{Requests: 100_000, InFlight: 40, Rate: 2000, Latency: 0.020, P99: 0.080, Retries: 100},
		Hour:    steady(60, 0.020),
	}
}

func steady(n int, latency float64) (all []Minute) {
	for i := range n {
		all = append(all, Minute{Requests: 6000, Latency: latency * (1 + 0.02*math.Sin(float64(i*i)))})
	}
	return all
}

func well() Facts {
	return Facts{
		Now: now(), Services: []Service{service()},
		Process: Process{Listeners: []Listener{{Name: "l7 :80", Open: 100, MaxConns: 1000}}, Connections: 100, MaxConns: 100_000, Ports: 28_000,
			DrainDelay: 5 * time.Second, Drain: 20 * time.Second, StopTimeout: 30 * time.Second, Surroundings: "ECS"},
	}
}

// TestRules has for each rule a cause on which it fires and what looks like
// that and is none.
func TestRules(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ cause, alike func(*Facts, *Service) }{
		"no_backend": {
			func(_ *Facts, s *Service) {
				for i := range s.Backends {
					s.Backends[i].Eligible = false
				}
			},
			func(_ *Facts, s *Service) { // most are out, not all
				for i := range s.Backends[1:] {
					s.Backends[1+i].Eligible = false
				}
			},
		},
		"single_backend": {
			func(_ *Facts, s *Service) {
				for i := range s.Backends[1:] {
					s.Backends[1+i].Eligible = false
				}
			},
			func(_ *Facts, s *Service) { s.Backends[0].Eligible, s.Backends[1].Eligible = false, false },
		},
		"panic": {
			func(_ *Facts, s *Service) { s.Panic = true },
			func(_ *Facts, s *Service) { s.Backends[0].Eligible, s.Backends[1].Eligible = false, false }, // half are out, which is no panic
		},
		"source_trouble": {
			func(f *Facts, s *Service) {
				s.Sources = []Source{{Name: "consul", Trouble: "connection refused", Since: f.Now.Add(-2 * time.Minute)}}
			},
			func(f *Facts, s *Service) { // a restart
				s.Sources = []Source{{Name: "consul", Trouble: "connection refused", Since: f.Now.Add(-5 * time.Second)}, {Name: "dns", Since: f.Now.Add(-time.Hour)}}
			},
		},
		"saturation": {
			func(_ *Facts, s *Service) { s.Traffic.InFlight, s.Traffic.Rate = 800, 40_000 },
			func(_ *Facts, s *Service) { // as much in flight and no limit
				s.Traffic.InFlight, s.Limits.MaxRequests = 800, 0
				s.Limits.MaxConns = 0
			},
		},
		"connections_short": {
			func(f *Facts, _ *Service) { f.Process.Connections = 95_000 },
			func(f *Facts, _ *Service) { // many, and room for many more; a listener without a limit
				f.Process.Connections = 60_000
				f.Process.Listeners = []Listener{{Name: "l4 :1", Open: 60_000}}
			},
		},
		"ports_short": {
			func(_ *Facts, s *Service) { s.Backends[2].Active = 25_000; s.Limits.MaxConns = 0 },
			func(_ *Facts, s *Service) { // as many in all, each to another address
				s.Limits.MaxConns = 0
				for i := range s.Backends {
					s.Backends[i].Active = 7000
				}
			},
		},
		"latency_rise": {
			func(_ *Facts, s *Service) { s.Hour = append(steady(55, 0.020), steady(5, 0.026)...) },
			func(_ *Facts, s *Service) { // one bad minute
				s.Hour = append(steady(57, 0.020), append(steady(1, 0.2), steady(2, 0.020)...)...)
			},
		},
		"slow_backend": {
			func(_ *Facts, s *Service) { s.Backends[3].Latency = 0.090 },
			func(_ *Facts, s *Service) { // two kinds: half of them are far away
				s.Backends[3].Latency, s.Backends[2].Latency = 0.090, 0.090
			},
		},
		"ejected": {
			func(f *Facts, s *Service) {
				s.Backends[0].Ejected, s.Backends[0].Eligible, s.Backends[0].ChecksFailed = true, false, 1
				s.Backends[0].Cause, s.Backends[0].Until = "5 connects in a row failed", f.Now.Add(time.Minute)
			},
			func(_ *Facts, s *Service) { s.Backends[0].Eligible, s.Backends[0].ChecksFailed = false, 3 }, // its checks say so
		},
		"retry_budget": {
			func(_ *Facts, s *Service) { s.Traffic.Retries = 15_000 },
			func(_ *Facts, s *Service) { s.Traffic.Requests, s.Traffic.Retries = 50, 20 }, // a few after a restart
		},
		"breaker_flaps": {
			func(_ *Facts, s *Service) { s.Traffic.Openings = 5 },
			func(_ *Facts, s *Service) { s.Traffic.Openings = 1 }, // it did what it is for
		},
		"checks_blind": {
			func(_ *Facts, s *Service) { s.Backends[1].ErrorRate = 0.4 },
			func(_ *Facts, s *Service) { s.Backends[1].ErrorRate, s.Backends[1].ChecksFailed = 0.4, 2 }, // they see it
		},
		"checks_aggressive": {
			func(_ *Facts, s *Service) { s.Backends[1].Transitions = 6 },
			func(_ *Facts, s *Service) { // it really fails
				s.Backends[1].Transitions, s.Backends[1].ErrorRate, s.Backends[1].ChecksFailed = 6, 0.5, 30
			},
		},
		"stop_timeout": {
			func(f *Facts, _ *Service) { f.Process.Drain = 60 * time.Second },
			func(f *Facts, _ *Service) { f.Process.Drain, f.Process.StopTimeout = 60*time.Second, 0 }, // nobody kills, for all that is known
		},
		"forgotten_change": {
			func(f *Facts, _ *Service) {
				f.Changes = []Change{{ID: "x", What: "drain", Service: "web", Backend: "10.0.0.1:80", By: "ann", At: f.Now.Add(-20 * time.Hour), Endless: true}}
			},
			func(f *Facts, _ *Service) { // one is fresh, one ends, one is meant to stay
				f.Changes = []Change{
					{ID: "x", What: "drain", At: f.Now.Add(-time.Hour), Endless: true},
					{ID: "y", What: "drain", At: f.Now.Add(-20 * time.Hour)},
					{ID: "z", What: "weight", At: f.Now.Add(-200 * time.Hour), Endless: true},
				}
			},
		},
		"weights_contradict": {
			func(_ *Facts, s *Service) {
				s.Backends[0].Weight, s.Backends[0].Latency = 10, 0.039
			},
			func(_ *Facts, s *Service) { // a strategy that sees it
				s.Backends[0].Weight, s.Backends[0].Latency, s.Strategy = 10, 0.039, "p2c_ewma"
			},
		},
		"skewed_keys": {
			func(_ *Facts, s *Service) { s.Strategy, s.Backends[0].Picks = "maglev", 9000 },
			func(_ *Facts, s *Service) { // more, by weight
				s.Strategy, s.Backends[0].Picks, s.Backends[0].Weight = "maglev", 9000, 9
			},
		},
		"slow_start_missing": {
			func(_ *Facts, s *Service) { s.Backends[0].Cold = 0.200 },
			func(_ *Facts, s *Service) { s.Backends[0].Cold, s.Health.SlowStart = 0.200, 30*time.Second },
		},
		"few_clients": {
			func(f *Facts, _ *Service) { f.Process.Limited = []Limited{{"rate=", 500, 100_000}} },
			func(f *Facts, _ *Service) { f.Process.Limited = []Limited{{"rate=", 60_000, 40_000}} }, // a limit that everybody meets
		},
		"trouble": {
			func(f *Facts, _ *Service) { f.Troubles = []string{"a certificate expires"} },
			func(*Facts, *Service) {},
		},
	}
	if len(cases) != len(Rules()) {
		t.Fatalf("unexpected number of rules that are tested; got %d; want %d", len(cases), len(Rules()))
	}
	if all := Find(well()); len(all) != 0 || all == nil {
		t.Fatalf("unexpected findings where all is well: %+v", all)
	}
	for _, rule := range Rules() {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			c, ok := cases[rule]
			if !ok {
				t.Fatal("the rule has no case")
			}
			of := func(change func(*Facts, *Service)) (mine []Finding, all []Finding) {
				f := well()
				change(&f, &f.Services[0])
				all = Find(f)
				for _, x := range all {
					if x.Rule == rule {
						mine = append(mine, x)
					}
				}
				return mine, all
			}
			mine, all := of(c.cause)
			if len(mine) != 1 {
				t.Fatalf("unexpected findings on the cause: %+v", all)
			}
			x := mine[0]
			if x.Evidence == "" || x.Consequence == "" || x.Action == "" || x.Severity == "" {
				t.Fatalf("a finding that does not say all: %+v", x)
			}
			if x.Call != nil && !strings.HasPrefix(x.Call.Path, "/admin/") {
				t.Fatalf("unexpected call: %+v", x.Call)
			}
			if strings.Contains(x.Evidence, "NaN") || strings.Contains(x.Consequence, "NaN") || strings.Contains(x.Evidence, "%!") {
				t.Fatalf("unexpected words: %+v", x)
			}
			t.Logf("%s: %s → %s", x.Severity, x.Evidence, x.Consequence)
			if mine, _ := of(c.alike); len(mine) != 0 {
				t.Fatalf("unexpected findings on what only looks alike: %+v", mine)
			}
		})
	}
}

// TestLimits has limits met in ways that the table has not.
func TestLimits(t *testing.T) {
	t.Parallel()
	f := func(want Severity, change func(*Facts, *Service)) {
		t.Helper()
		facts := well()
		change(&facts, &facts.Services[0])
		all := Find(facts)
		if len(all) != 1 || all[0].Severity != want {
			t.Fatalf("unexpected findings; want one that is %s; got %+v", want, all)
		}
	}
	full := func(s *Service, part float64) {
		for i := range s.Backends {
			s.Backends[i].Active = part * float64(s.Limits.MaxConns)
		}
	}
	f(Warning, func(_ *Facts, s *Service) { full(s, 0.8) })
	f(Critical, func(_ *Facts, s *Service) { full(s, 0.95) })
	f(Critical, func(_ *Facts, s *Service) { full(s, 0.8); s.Limits.Waiting = 3 })
	f(Critical, func(_ *Facts, s *Service) { s.Traffic.InFlight = 950 })
	f(Warning, func(_ *Facts, s *Service) { s.Traffic.InFlight, s.Traffic.Latency = 800, math.NaN() })
	f(Critical, func(_ *Facts, s *Service) { s.Traffic.Denied = 1 })
	f(Warning, func(_ *Facts, s *Service) { s.Traffic.P99 = 1.5 })
	f(Warning, func(p *Facts, _ *Service) { p.Process.Listeners[0].Open = 800 })
	f(Critical, func(_ *Facts, s *Service) { s.Backends = nil })
	f(Info, func(_ *Facts, s *Service) { s.Backends = s.Backends[:1] })
}

// TestOrder has several findings: the worst come first, and the same facts give
// the same.
func TestOrder(t *testing.T) {
	t.Parallel()
	facts := well()
	s := &facts.Services[0]
	s.Panic, s.Backends[0].Cold, s.Traffic.Openings = true, 0.2, 9
	all := Find(facts)
	var order []Severity
	for _, x := range all {
		order = append(order, x.Severity)
	}
	if !slices.Equal(order, []Severity{Critical, Warning, Info}) {
		t.Fatalf("unexpected order: %v", order)
	}
	one, _ := json.Marshal(all)
	two, _ := json.Marshal(Find(facts))
	if string(one) != string(two) {
		t.Fatalf("the same facts gave %s and %s", one, two)
	}
}

// TestStrangeNames has names with slashes in a call's path.
func TestStrangeNames(t *testing.T) {
	t.Parallel()
	facts := well()
	facts.Services[0].Name = "a/b c"
	facts.Services[0].Backends[3].Latency = 0.2
	all := Find(facts)
	if len(all) != 1 || all[0].Call.Path != "/admin/services/a%2Fb%20c/backends/10.0.0.4:80/weight" {
		t.Fatalf("unexpected findings: %+v", all)
	}
}
