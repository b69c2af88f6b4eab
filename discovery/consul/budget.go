package consul

import (
	"cmp"
	"slices"
	"time"
)

const (
	// defaultMaxConns is how many connections to an agent are open at most.
	// An agent allows 200 from one address, to everybody there together.
	defaultMaxConns = 128
	// MinMaxConns is the least that Config.MaxConns can be.
	MinMaxConns = 16

	registerConns = 2 // of registrations, which have a transport of their own
	overviewConns = 4 // of an overview, one for each of its queries
	scanConns     = 4 // of an overview that compares instances
	singleConns   = 1 // of the catalogue
	mostReaders   = 12

	// hotFor is how long after its last traffic a service counts as one with
	// traffic.
	hotFor = time.Minute
)

// shares is how the connections to an agent are divided.
type shares struct {
	own     int // services that may have a blocking query of their own
	readers int // reads for all other services at a time
	retries int // how many of those may be for services that did not answer
}

// divide divides connections to an agent; datacenters is how many catalogues
// are followed through it. Registrations, catalogues and overviews come first.
func divide(conns, datacenters int) shares {
	s := shares{readers: min(max(conns/10, 3), mostReaders)}
	s.retries = max(1, s.readers/4)
	s.own = max(0, conns-registerConns-singleConns-s.readers-(overviewConns+scanConns)*max(datacenters, 1))
	return s
}

// demand is what a service has to say for itself when queries are given out.
type demand struct {
	own    bool      // it has a query of its own
	active time.Time // when it last had traffic; zero if never
}

// assign returns which services are to have a blocking query of their own, n
// at most: all of them if there are so few, else those that had traffic within
// hotFor, and of those the ones that have one already and then those of the
// latest traffic.
func assign(now time.Time, services []demand, n int) (own []bool) {
	own = make([]bool, len(services))
	if len(services) <= n {
		for i := range own {
			own[i] = true
		}
		return own
	}
	var hot []int
	for i, s := range services {
		if !s.active.IsZero() && now.Sub(s.active) < hotFor {
			hot = append(hot, i)
		}
	}
	if len(hot) > n {
		slices.SortStableFunc(hot, func(i, j int) int {
			a, b := services[i], services[j]
			if a.own != b.own {
				if a.own {
					return -1
				}
				return 1
			}
			return cmp.Compare(b.active.UnixNano(), a.active.UnixNano())
		})
		hot = hot[:n]
	}
	for _, i := range hot {
		own[i] = true
	}
	return own
}
