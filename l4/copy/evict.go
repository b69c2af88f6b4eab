package copy

import (
	"maps"
	"slices"
	"sync"

	"sluice/l4"
	"sluice/pkg/backend"
)

// relays are those that run, by where they lead.
type relays struct {
	mu sync.Mutex // protects the field below
	to map[l4.Destination]map[*relay]*walk
}

// enter takes r in, which moves the bytes of w, so that it can be stopped.
func (q *relays) enter(to l4.Destination, r *relay, w *walk) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.to[to] == nil {
		q.to[to] = make(map[*relay]*walk)
	}
	q.to[to][r] = w
}

func (q *relays) leave(to l4.Destination, r *relay) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if delete(q.to[to], r); len(q.to[to]) == 0 {
		delete(q.to, to)
	}
}

// those returns the relays to a backend.
func (q *relays) those(to l4.Destination) []*relay {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Collect(maps.Keys(q.to[to]))
}

// stop ends all of them.
func (q *relays) stop(reason l4.Reason) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, to := range q.to {
		for r := range to {
			r.abort(reason)
		}
	}
}

// evict ends the connections to a backend.
func (s *Server) evict(e l4.Eviction) {
	if s.closing.Err() != nil {
		return
	}
	all := s.relays.those(e.To)
	if len(all) == 0 {
		return
	}
	e.Found()
	backend.InSteps(len(all), e.Over, func(i int) { all[i].abort(e.Reason) })
}
