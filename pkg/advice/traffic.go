package advice

import (
	"fmt"
	"math"
)

const (
	// full is from which part of a limit on it is said to be near.
	full = 0.7
	// veryFull is from which part on it is hurting.
	veryFull = 0.9
	// leastAttempts is how many requests or connections a Window must have for
	// parts of them to mean something.
	leastAttempts = 200
)

func latencyRise(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		before, now, ok := risen(s.Hour)
		if !ok {
			return nil
		}
		return []Finding{{
			Severity:    Warning,
			Evidence:    fmt.Sprintf("%s on average in each of the last %d minutes, %s in the hour before: %s more", ms(now), riseMinutes, ms(before), percent(now/before-1)),
			Consequence: "as many requests are under way longer, so that limits and queues are met sooner; if it goes on, clients time out",
			Action:      "look whether one backend is slower than the others, and what changed when it began; add backends if all are busy",
		}}
	})
}

// saturation reckons by Little's law: what is in flight is rate × latency, so a
// limit of what is in flight is met at the rate limit / latency.
func saturation(f Facts) []Finding {
	return ofServices(f, func(s Service) (all []Finding) {
		t := s.Traffic
		if limit := float64(s.Limits.MaxRequests); limit > 0 && t.InFlight > full*limit {
			x := Finding{
				Severity:    Warning,
				Evidence:    fmt.Sprintf("%.0f requests are in flight on average (%.0f a second × %s), %s of max-requests=%d", t.InFlight, t.Rate, ms(t.Latency), percent(t.InFlight/limit), s.Limits.MaxRequests),
				Consequence: "requests beyond the limit get 503 at once",
				Action:      "raise max-requests of --service if the backends can bear it, or add backends",
			}
			if t.Latency > 0 && !math.IsNaN(t.Latency) {
				x.Consequence = fmt.Sprintf("at this latency %.0f requests a second meet the limit, and those beyond get 503 at once", limit/t.Latency)
			}
			if t.InFlight > veryFull*limit {
				x.Severity = Critical
			}
			all = append(all, x)
		}
		if s.Limits.MaxConns > 0 {
			active, room := 0.0, 0.0
			for _, b := range s.Backends {
				if b.Eligible {
					active += b.Active
					room += float64(s.Limits.MaxConns)
				}
			}
			if room > 0 && active > full*room {
				x := Finding{
					Severity:    Warning,
					Evidence:    fmt.Sprintf("%.0f connections and requests are with backends that may have %.0f (max-conns=%d each), %s; %d wait", active, room, s.Limits.MaxConns, percent(active/room), s.Limits.Waiting),
					Consequence: "who finds no room waits, and is turned away when the queue is full or queue-timeout over",
					Action:      "add backends, or raise max-conns of --service if they can bear it",
				}
				if active > veryFull*room || s.Limits.Waiting > 0 {
					x.Severity = Critical
				}
				all = append(all, x)
			}
		}
		return all
	})
}

func retryBudget(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		t := s.Traffic
		asked := t.Requests + t.Connections
		budget := float64(s.Limits.RetryBudget) / 100
		if asked < leastAttempts || budget == 0 {
			return nil
		}
		part := t.Retries / asked
		if part < budget/2 && t.Denied == 0 {
			return nil
		}
		x := Finding{
			Severity:    Warning,
			Evidence:    fmt.Sprintf("%.0f retries for %.0f requests and connections in 15 minutes, %s of a budget of %d %%; %.0f more were not allowed", t.Retries, asked, percent(part), s.Limits.RetryBudget, t.Denied),
			Consequence: "when the budget is used up, failures of backends reach clients",
			Action:      "find out which backend fails: its error ratio and last errors are on the page of services",
		}
		if t.Denied > 0 {
			x.Severity, x.Consequence = Critical, "failures of backends have reached clients that a retry would have spared"
		}
		return []Finding{x}
	})
}

// flaps is how often breakers open in a Window to be said to flap.
const flaps = 3

func breakerFlaps(f Facts) []Finding {
	return ofServices(f, func(s Service) []Finding {
		if s.Traffic.Openings < flaps {
			return nil
		}
		return []Finding{{
			Severity:    Warning,
			Evidence:    fmt.Sprintf("circuit breakers opened %.0f times in 15 minutes", s.Traffic.Openings),
			Consequence: "a backend works in trials and fails under load: each time it is let back some requests fail",
			Action:      "look at the backend that opens; drain it until it is well, or raise breaker= if the failures are normal",
		}}
	})
}

// fewParts is the part of refusals up to which they are a few clients' affair.
const fewParts = 0.2

func fewClients(f Facts) (all []Finding) {
	for _, l := range f.Process.Limited {
		whole := l.Refused + l.Passed
		if l.Refused < 20 || whole < leastAttempts || l.Refused > fewParts*whole {
			continue
		}
		all = append(all, Finding{
			Severity:    Info,
			Evidence:    fmt.Sprintf("%s turned %.0f of %.0f away in 15 minutes, %s, and all others passed", l.Limit, l.Refused, whole, percent(l.Refused/whole)),
			Consequence: "a few clients ask for more than their part and are refused; nobody else notices",
			Action:      "find them in the access log; if many users share an address (a proxy, a NAT), name it by trusted-proxy or raise the limit",
		})
	}
	return all
}
