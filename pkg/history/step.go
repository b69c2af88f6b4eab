package history

import (
	"math"
	"time"
)

// Metric is one thing that a step says.
type Metric int

// What a step says; rates are a second.
const (
	Requests     Metric = iota // HTTP requests that ended
	Connections                // TCP connections that began
	InFlight                   // HTTP requests under way at the end of the step
	Open                       // TCP connections open at the end of the step
	ClientErrors               // responses of 4xx
	ServerErrors               // responses of 5xx
	Failed                     // requests and connections that were not served
	Refused                    // requests and connections turned away before they had a service; of the total only
	Retries                    // attempts after the first
	Denied                     // attempts that the retry budget did not allow
	Failovers                  // attempts after the first on account of a failure
	Openings                   // times that a circuit breaker opened
	BytesIn                    // from clients
	BytesOut                   // to clients
	Mean                       // of the time of a request, or else to connect, in seconds
	P50                        // the same at the 50th percentile
	P95
	P99
	Metrics int = iota // how many there are
)

// Names returns the names of all metrics, in their order, as JSON has them.
func Names() []string {
	return []string{"requests", "connections", "in_flight", "open", "client_errors", "server_errors", "failed", "refused",
		"retries", "retries_denied", "failovers", "circuit_opens", "bytes_in", "bytes_out", "mean", "p50", "p95", "p99"}
}

// String returns the name of the metric.
func (m Metric) String() string { return Names()[m] }

// isQuantile reports whether m is not to be summed up or averaged.
func (m Metric) isQuantile() bool { return m >= Mean }

// Step is what happened in one second.
type Step [Metrics]float32

// unknown is a step of which nothing is known.
func unknown() (s Step) {
	for i := range s {
		s[i] = float32(math.NaN())
	}
	return s
}

// step returns what happened between two counts.
func step(before, now *Counts, elapsed time.Duration) (s Step) {
	rate := func(m Metric, c counter) {
		s[m] += float32(grown(before.counters[c], now.counters[c]) / elapsed.Seconds())
	}
	rate(Requests, requests)
	rate(ClientErrors, clientErrors)
	rate(ServerErrors, serverErrors)
	rate(Failed, failed)
	rate(Refused, refused)
	rate(Retries, retries)
	rate(Denied, denied)
	rate(Failovers, failovers)
	rate(Openings, openings)
	rate(BytesIn, bytesIn)
	rate(BytesOut, bytesOut)
	// What began is what ended and what is there now in addition.
	began := grown(before.counters[ended], now.counters[ended]) + now.counters[open] - before.counters[open]
	s[Connections] = float32(max(0, began) / elapsed.Seconds())
	s[InFlight], s[Open] = float32(now.counters[inFlight]), float32(now.counters[open])
	times := now.request.since(before.request)
	sum := grown(before.counters[requestTime], now.counters[requestTime])
	if times.count() == 0 {
		times = now.connect.since(before.connect)
		sum = grown(before.counters[connectTime], now.counters[connectTime])
	}
	s[Mean] = float32(sum / times.count()) // 0/0 is unknown, as it should be
	for m, q := range map[Metric]float64{P50: 0.5, P95: 0.95, P99: 0.99} {
		s[m] = float32(times.quantile(q))
	}
	return s
}

// grown returns by how much a counter has grown; one that is smaller than
// before has begun anew.
func grown(before, now float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

// mean makes one step of several: the mean of what is known, and of quantiles
// the highest.
func mean(all []Step) Step {
	s := unknown()
	for m := range s {
		n, sum, most := 0, 0.0, math.Inf(-1)
		for i := range all {
			if v := float64(all[i][m]); !math.IsNaN(v) {
				n++
				sum += v
				most = max(most, v)
			}
		}
		switch {
		case n == 0:
		case Metric(m).isQuantile():
			s[m] = float32(most)
		default:
			s[m] = float32(sum / float64(n))
		}
	}
	return s
}
