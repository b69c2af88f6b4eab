package loop

import (
	"slices"

	"sluice/l7/gate"
	"sluice/pkg/backend"
)

// members are a service's backends as the shards of a server know them.
type members struct {
	s    *Server
	svc  *gate.Service
	all  []*backend.Backend        // the calls of follow are in order
	down map[*backend.Backend]bool // those of them that health has found down
}

// lead makes the shards follow the members of a service to which routes begin to
// lead.
func (s *Server) lead(svc *gate.Service) (left func()) {
	m := &members{s: s, svc: svc}
	pool, fronts := svc.Pool(), svc.Fronts()
	if fronts != nil {
		fronts.Join(s)
	}
	remain := s.departures(svc).Follow(pool)
	unheard := pool.OnCrowded(s.makeRoom)
	unfollow := pool.OnChange(m.follow)
	return func() {
		unfollow()
		remain()
		unheard()
		if fronts != nil {
			fronts.Part(s)
		}
		for _, sh := range s.shards {
			sh.l.Post(func() { sh.follow(svc, nil) })
		}
	}
}

// follow makes the shards keep connections to the members of the service, and
// to nobody else, and take requests elsewhere that wait for one that is down.
// It may be called from any goroutine.
func (m *members) follow(now *backend.Snapshot) {
	for _, b := range m.fell(now) {
		for _, sh := range m.s.shards {
			sh.l.Post(func() { sh.rescuer.rescue(b) })
		}
	}
	if m.all != nil && slices.Equal(m.all, now.All) {
		return // some member's state has changed
	}
	m.all = now.All
	for _, sh := range m.s.shards {
		sh.l.Post(func() { sh.follow(m.svc, now.All) })
	}
}

// fell returns the members that health has found to be down since it was last
// called.
func (m *members) fell(now *backend.Snapshot) (fell []*backend.Backend) {
	down := make(map[*backend.Backend]bool)
	for _, b := range now.All {
		if b.State() != backend.Down {
			continue
		}
		down[b] = true
		if !m.down[b] {
			fell = append(fell, b)
		}
	}
	m.down = down
	return fell
}
