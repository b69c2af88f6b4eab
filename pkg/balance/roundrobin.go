package balance

import (
	"sync/atomic"

	"sluice/pkg/backend"
)

// maxCycle bounds the length of an unrolled round robin, in picks, for pools
// of up to maxCycle backends. Weights that need a longer cycle are scaled
// down to fit, none below 1, which distorts a share by at most 1 in maxCycle
// or so. It keeps planning below some milliseconds at 1,000 backends.
const maxCycle = 4096

type roundRobin struct {
	next atomic.Uint64 // survives plans, so that a change does not restart the cycle
}

type roundRobinPicker struct {
	next  *atomic.Uint64
	cycle []*backend.Backend
}

func (r *roundRobin) Plan(s *backend.Snapshot) Picker {
	return &roundRobinPicker{next: &r.next, cycle: smoothCycle(s.Eligible, s.Weights)}
}

func (p *roundRobinPicker) Pick(req Request) *backend.Backend {
	if len(p.cycle) == 0 {
		return nil
	}
	i := 0
	for range draws {
		i = int((p.next.Add(1) - 1) % uint64(len(p.cycle)))
		b := p.cycle[i]
		if req.Tried.Len() > 0 {
			break // a retry is rare, and any other backend will do
		}
		if !cold(b) { // else the cycle goes on without it
			return b
		}
	}
	return untried(p.cycle, i, req.Tried)
}

// smoothCycle unrolls nginx's smooth weighted round robin
// (ngx_http_upstream_round_robin.c): at each step every backend's current
// value grows by its weight, the largest is chosen and falls by the sum of
// all weights. With weights 5, 1, 1 the cycle is a a b a c a a.
func smoothCycle(backends []*backend.Backend, weights []int) []*backend.Backend {
	weights, sum := reduced(weights)
	if sum == len(backends) { // all weights are equal
		return backends
	}
	current := make([]int, len(weights))
	cycle := make([]*backend.Backend, 0, sum)
	for range sum {
		best := 0
		for i, w := range weights {
			current[i] += w
			if current[i] > current[best] {
				best = i
			}
		}
		current[best] -= sum
		cycle = append(cycle, backends[best])
	}
	return cycle
}

// reduced divides weights by their greatest common divisor and, if the cycle
// would still be too long, scales them to a sum of about maxCycle.
func reduced(weights []int) (out []int, sum int) {
	divisor := 0
	for _, w := range weights {
		divisor = gcd(divisor, w)
		sum += w
	}
	if sum == 0 {
		return nil, 0
	}
	limit := max(maxCycle, len(weights))
	scale := sum/divisor > limit
	out = make([]int, len(weights))
	total := 0
	for i, w := range weights {
		if scale {
			out[i] = max(1, w*limit/sum)
		} else {
			out[i] = w / divisor
		}
		total += out[i]
	}
	return out, total
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
