package gate

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	recentShards = 16
	recentEach   = 256
	// RecentRequests is how many requests a Recent remembers.
	RecentRequests = recentShards * recentEach

	// maxSteps is how many attempts that failed are remembered of a request.
	maxSteps = 4
)

// Recent remembers what became of the last RecentRequests requests of all
// listeners that share it, to be asked by their IDs. It takes 2 MiB, of which
// each sixteenth comes with the first request that needs it, and then nothing
// more. All methods are safe for concurrent use; requests of different IDs
// hardly ever wait for each other.
type Recent struct {
	seed   maphash.Seed
	shards [recentShards]recentShard
}

// recentShard are the requests whose IDs fall on it.
type recentShard struct {
	// mu protects the fields below.
	mu   sync.Mutex
	all  []remembered // empty, or recentEach of them
	next int          // in all
}

// remembered is what became of a request: names and numbers, so that no backend
// and no buffer is kept that would go otherwise.
type remembered struct {
	at       int64 // when it began, ns of Unix time; 0: nothing is remembered
	duration time.Duration
	client   netip.Addr
	listener string
	route    string
	service  string
	strategy string
	backend  string // that served it; empty for none
	status   int
	reason   Reason
	retries  int
	idLen    int
	id       [maxRequestID]byte
	trail    trail
}

// trail are the attempts of a request that failed, in order; those beyond
// maxSteps are not told apart.
type trail struct {
	n     int
	steps [maxSteps]step
	last  Reason // of the last one, told apart or not
}

// step is an attempt that failed.
type step struct {
	backend string // its address
	reason  Reason
	after   time.Duration // since the request began
}

func (tr *trail) add(s step) {
	tr.last = s.reason
	if tr.n < maxSteps {
		tr.steps[tr.n] = s
		tr.n++
	}
}

// NewRecent returns a Recent that remembers nothing yet.
func NewRecent() *Recent { return &Recent{seed: maphash.MakeSeed()} }

func (r *Recent) shard(id []byte) *recentShard {
	return &r.shards[maphash.Bytes(r.seed, id)%recentShards]
}

// remember keeps what has become of t, whose request has been identified.
func (t *Ticket) remember(status int, duration time.Duration) {
	id := t.from.requestID
	r := t.g.cfg.Recent
	if r == nil || len(id) == 0 || len(id) > maxRequestID {
		return
	}
	at := t.start.wall.UnixNano()
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make([]remembered, recentEach)
	}
	m := &s.all[s.next]
	s.next = (s.next + 1) % recentEach
	m.idLen = copy(m.id[:], id)
	m.at, m.duration, m.client, m.listener, m.status, m.reason = at, duration, t.from.client, t.g.name, status, t.ended()
	m.route, m.service, m.strategy, m.backend = "", "", "", ""
	m.retries, m.trail.n = t.attempt.retries, t.attempt.trail.n
	copy(m.trail.steps[:], t.attempt.trail.steps[:m.trail.n])
	if t.route != nil {
		m.route = t.route.name
	}
	if t.svc != nil {
		m.service, m.strategy = t.svc.name, t.svc.balancer.Strategy()
	}
	if b := t.lastBackend(); b != nil {
		m.backend = b.Addr()
	}
}

// ended returns why the request was not served as it should have been: None if an
// attempt was answered after others had failed.
func (t *Ticket) ended() Reason {
	if a := &t.attempt; a.responded && t.outcome.reason == a.trail.last {
		return None
	}
	return t.outcome.reason
}

// Past is what became of a request.
type Past struct {
	At        time.Time // when it began
	RequestID string
	Client    netip.Addr
	Listener  string // its name
	// Route, Service and Strategy are empty if it did not come so far.
	Route, Service, Strategy string
	// Status is what the client got, or would have got, and Reason why it was not
	// served as it should have been; None if it was.
	Status   int
	Reason   Reason
	Duration time.Duration
	// Attempts are those that were made, in order. Lost is how many of them are
	// not told apart, before the last one.
	Attempts []PastAttempt
	Lost     int
}

// PastAttempt is an attempt at getting a response from a backend.
type PastAttempt struct {
	Backend string
	Reason  Reason        // why it brought no response that counts; None if it did
	After   time.Duration // when it ended, since the request began
}

// Find returns what became of the requests of an ID, the latest first.
func (r *Recent) Find(id string) (all []Past) {
	s := r.shard([]byte(id))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		if m := &s.all[i]; m.at != 0 && string(m.id[:m.idLen]) == id {
			all = append(all, m.past())
		}
	}
	slices.SortStableFunc(all, func(a, b Past) int { return b.At.Compare(a.At) })
	return all
}

func (m *remembered) past() Past {
	p := Past{
		At: time.Unix(0, m.at), RequestID: string(m.id[:m.idLen]), Client: m.client, Listener: m.listener, Route: m.route, Service: m.service, Strategy: m.strategy,
		Status: m.status, Reason: m.reason, Duration: m.duration, Lost: m.retries - m.trail.n,
	}
	for _, s := range m.trail.steps[:m.trail.n] {
		p.Attempts = append(p.Attempts, PastAttempt{s.backend, s.reason, s.after})
	}
	if m.backend != "" {
		p.Attempts = append(p.Attempts, PastAttempt{m.backend, m.reason, m.duration})
	}
	return p
}
