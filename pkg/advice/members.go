package advice

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func eligible(s Service) (all []Backend) {
	for _, b := range s.Backends {
		if b.Eligible {
			all = append(all, b)
		}
	}
	return all
}

func noBackend(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		if len(eligible(s)) > 0 {
			return nil
		}
		x := Finding{
			Severity:    Critical,
			Evidence:    fmt.Sprintf("none of %d backends can serve", len(s.Backends)),
			Consequence: "every request and connection fails",
			Action:      "look at the reason of each backend",
		}
		if len(s.Backends) == 0 {
			x.Evidence, x.Action = "there is no backend", "see whether anything is registered under that name, or add a backend"
		}
		return []Finding{x}
	})
}

func singleBackend(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		if len(eligible(s)) != 1 {
			return nil
		}
		x := Finding{
			Severity:    Warning,
			Evidence:    fmt.Sprintf("1 of %d backends can serve", len(s.Backends)),
			Consequence: "when it fails, everything does",
			Action:      "look at the reasons of the others",
		}
		if len(s.Backends) == 1 { // so it was set up
			x.Severity, x.Evidence, x.Action = Info, "there is one backend", "run a second one"
		}
		return []Finding{x}
	})
}

func panicEntered(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		if !s.Panic {
			return nil
		}
		return []Finding{{
			Severity:    Critical,
			Evidence:    fmt.Sprintf("fewer than %d %% of %d backends are available, so that all are used but those that refuse connections", s.PanicThreshold, len(s.Backends)),
			Consequence: "backends that checks call bad get traffic, too: the checks may be wrong, and if they are not, requests fail",
			Action:      "look what the backends that are down have in common: a check that is wrong, a dependency, a deployment",
		}}
	})
}

const (
	// slower is how many times as slow as its peers a backend is said to be slow.
	slower = 2
	// noticeable is by how much slower it must be, in seconds.
	noticeable = 0.005
	// wellKnown is how well a latency must be known.
	wellKnown = 0.5
)

// known returns backends whose latency is well known.
func known(all []Backend) (some []Backend) {
	for _, b := range all {
		if b.Latency > 0 && b.Measured >= wellKnown {
			some = append(some, b)
		}
	}
	return some
}

func slowBackend(f Facts) []Finding {
	return ofServices(f, func(s Service) (all []Finding) {
		members := known(eligible(s))
		if len(members) < 3 { // of two, nobody knows which is the exception
			return nil
		}
		var latencies []float64
		for _, b := range members {
			latencies = append(latencies, b.Latency)
		}
		slices.Sort(latencies)
		usual := middle(latencies)
		for _, b := range members {
			if b.Latency < slower*usual || b.Latency-usual < noticeable {
				continue
			}
			all = append(all, Finding{
				Severity: Warning, Backend: b.Address,
				Evidence:    fmt.Sprintf("it takes %s, and %s is usual among its %d peers", ms(b.Latency), ms(usual), len(members)-1),
				Consequence: "clients that get it wait longer; the slowest tenth of requests is its",
				Action:      "halve its weight or drain it while you look at it",
				Call:        backendCall(s.Name, b.Address, "weight", map[string]string{"value": "50%", "ttl": "1h", "reason": "slower than its peers"}),
			})
		}
		if len(all)*2 >= len(members) { // two kinds of backends, not exceptions
			return nil
		}
		return all
	})
}

func ejected(f Facts) []Finding {
	return ofServices(f, func(s Service) (all []Finding) {
		for _, b := range s.Backends {
			if !b.Ejected {
				continue
			}
			all = append(all, Finding{
				Severity: Warning, Backend: b.Address,
				Evidence:    "live traffic failed on it: " + b.Cause,
				Consequence: "its share goes to the others until " + b.Until.UTC().Format(time.RFC3339),
				Action:      "look at its log; readmit it once it is well, or drain it",
				Call:        backendCall(s.Name, b.Address, "readmit", map[string]string{"reason": "well again"}),
			})
		}
		return all
	})
}

// weighing reports whether a strategy gives by weight and not by latency.
func weighing(strategy string) bool {
	return strategy != "p2c_ewma" && strategy != "adaptive"
}

func weightsContradict(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		members := known(eligible(s))
		if len(members) < 2 || !weighing(s.Strategy) {
			return nil
		}
		most := slices.MaxFunc(members, func(a, b Backend) int { return a.Weight - b.Weight })
		least := slices.MinFunc(members, func(a, b Backend) int { return a.Weight - b.Weight })
		if least.Weight <= 0 || most.Weight < 2*least.Weight || most.Latency < 1.5*least.Latency || most.Latency-least.Latency < noticeable {
			return nil
		}
		return []Finding{{
			Severity: Info, Backend: most.Address,
			Evidence:    fmt.Sprintf("%s has weight %d and takes %s; %s has weight %d and takes %s", most.Address, most.Weight, ms(most.Latency), least.Address, least.Weight, ms(least.Latency)),
			Consequence: "most requests go to a backend that is overloaded or was overrated",
			Action:      "give both the weights that their speed deserves, or switch the strategy to one that sees latencies",
			Call:        &Call{Method: "PUT", Path: "/admin/services/" + pathEscape(s.Name) + "/strategy", Params: map[string]string{"value": "p2c_ewma", "reason": "weights contradict latencies"}},
		}}
	})
}

// hashing reports whether a strategy goes by a key of the client's.
func hashing(strategy string) bool {
	return slices.Contains([]string{"ip_hash", "consistent_hash", "maglev"}, strategy)
}

const (
	// skewed is how many times its share a backend has when keys are skewed.
	skewed = 1.5
	// leastPicks is how many picks are needed to tell.
	leastPicks = 1000
)

func skewedKeys(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		if !hashing(s.Strategy) {
			return nil
		}
		members := eligible(s)
		picks, weight := 0.0, 0.0
		for _, b := range members {
			picks += b.Picks
			weight += float64(b.Weight)
		}
		if picks < leastPicks || len(members) < 2 || weight == 0 {
			return nil
		}
		share := func(b Backend) float64 { return (b.Picks / picks) / max(float64(b.Weight)/weight, 1e-9) }
		most := slices.MaxFunc(members, func(a, b Backend) int {
			if share(a) < share(b) {
				return -1
			}
			return 1
		})
		if share(most) < skewed {
			return nil
		}
		return []Finding{{
			Severity: Info, Backend: most.Address,
			Evidence:    fmt.Sprintf("with %s it got %s of 15 minutes' picks, and %s is its share by weight", s.Strategy, percent(most.Picks/picks), percent(float64(most.Weight)/weight)),
			Consequence: "a few keys, such as clients behind one address, make most of the traffic: one backend is busy while others idle",
			Action:      "if nothing has to come back to the same backend, switch the strategy; else hash by what differs more",
			Call:        &Call{Method: "PUT", Path: "/admin/services/" + pathEscape(s.Name) + "/strategy", Params: map[string]string{"value": "p2c", "reason": "keys are skewed"}},
		}}
	})
}

const (
	// cold is how many times as slow as later a backend begins that needs a slow
	// start.
	cold = 2
)

func slowStartMissing(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		if s.Health.SlowStart > 0 {
			return nil
		}
		for _, b := range known(eligible(s)) {
			if b.Cold < cold*b.Latency || b.Cold-b.Latency < noticeable {
				continue
			}
			return []Finding{{
				Severity: Info, Backend: b.Address,
				Evidence:    fmt.Sprintf("it took %s when it had just come, and takes %s now; slow-start is 0", ms(b.Cold), ms(b.Latency)),
				Consequence: "each deployment and each recovery is a spike of latency for some clients",
				Action:      "set slow-start=30s of --service, or --slow-start for all",
			}}
		}
		return nil
	})
}

func checksBlind(f Facts) []Finding {
	return ofServices(f, func(s Service) (all []Finding) {
		if !s.Health.Checked {
			return nil
		}
		for _, b := range s.Backends {
			if b.ChecksFailed > 0 || b.ChecksPassed < 10 {
				continue
			}
			why := ""
			switch {
			case b.Ejected:
				why = "live traffic has ejected it: " + b.Cause
			case b.ErrorRate >= 0.2 && b.Picks >= leastAttempts:
				why = percent(b.ErrorRate) + " of its latest requests failed"
			default:
				continue
			}
			x := Finding{
				Severity: Warning, Backend: b.Address,
				Evidence:    fmt.Sprintf("all of its %d checks passed, and %s", b.ChecksPassed, why),
				Consequence: "the check does not see what clients see: the backend comes back each time to fail again",
				Action:      "let check= of --service ask for something that needs what requests need",
			}
			if !s.Health.HTTP {
				x.Action = "the check only connects: set check=http:/PATH of --service if it speaks HTTP"
			}
			all = append(all, x)
		}
		return all
	})
}

// unsteady is how often a check's verdict changes in a Window to be suspect.
const unsteady = 4

func checksAggressive(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		h := s.Health
		if !h.Checked {
			return nil
		}
		var names []string
		for _, b := range s.Backends {
			if b.Transitions >= unsteady && b.ErrorRate < 0.05 && b.Picks >= leastAttempts {
				names = append(names, b.Address)
			}
		}
		switch p99 := s.Traffic.P99; {
		case len(names) > 0:
			return []Finding{{
				Severity:    Warning,
				Evidence:    fmt.Sprintf("checks took %s out and in %d times or more in 15 minutes, and hardly a request on it failed", strings.Join(names[:min(3, len(names))], ", "), unsteady),
				Consequence: "backends that work are taken out, and the others bear their load",
				Action:      fmt.Sprintf("give checks more time or more tries: health-timeout is %v, health-fall %d", h.Timeout, h.Fall),
			}}
		case h.HTTP && p99 > h.Timeout.Seconds() && s.Traffic.Requests >= leastAttempts:
			return []Finding{{
				Severity:    Warning,
				Evidence:    fmt.Sprintf("one request in a hundred takes %s or longer, and a check may take %v", ms(p99), h.Timeout),
				Consequence: "when backends are busy, checks fail that would only have been slow, and the load moves to the others",
				Action:      "raise --health-timeout, or check something that is quick",
			}}
		}
		return nil
	})
}
