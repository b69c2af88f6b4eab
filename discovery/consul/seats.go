package consul

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// seatInterval is how often traffic is looked at to give out the queries
	// that services have of their own.
	seatInterval = time.Second
	// rereadInterval is how long a service that shares goes unread at most,
	// should no news of it have come.
	rereadInterval = 5 * time.Minute
	// silentAfter is after how many failures in a row a service that shares is
	// read in slots of its own kind, and for longer: one failure may be chance.
	silentAfter = 3
)

// turn is the right to send one query.
type turn struct {
	home     int    // index of the agent to ask first
	blocking bool   // it may wait for a change
	broken   bool   // contact was lost, or Consul replaced, since the last one
	done     func() // to be called when the query has ended
}

// turns says when a watch may ask, and how.
type turns interface {
	// take waits for the next turn; it reports false when ctx has ended.
	// failures is how many queries have failed in a row.
	take(ctx context.Context, failures int) (turn, bool)
}

// always are the turns of a watch that is never without a query.
type always struct{ home int }

func (a always) take(ctx context.Context, _ int) (turn, bool) {
	return turn{home: a.home, blocking: true, done: func() {}}, ctx.Err() == nil
}

// seats divide the connections to Consul between the services that are
// watched: as long as there are few, each has a blocking query of its own;
// else those with traffic have one, and an overview tells the others when to
// read anew. All methods are safe for concurrent use.
type seats struct {
	client  *Client
	fresh   chan struct{} // holds a token for each read under way
	retries chan struct{} // the same of services that did not answer
	metrics *seatMetrics
	asked   *queryMetrics // by overviews

	// mu protects the fields below.
	mu        sync.Mutex
	all       map[*seat]struct{}
	overviews map[string]*overview // by datacenter
	watches   int                  // of any kind
	stop      context.CancelFunc   // ends the one that gives out seats; nil while it does not run
	done      chan struct{}        // closed when it has ended
}

// seat is the turns of one service.
type seat struct {
	seats      *seats
	service    string // in lower case: names are looked up without regard to it
	datacenter string
	traffic    func() uint64 // changes while the service has traffic
	stands     func(ok bool) // is told from time to time, while the service shares, whether news would come
	wake       chan struct{} // capacity 1
	homeless   int           // index of the agent for shared reads

	// The fields below are protected by seats.mu.
	demand
	home   int // index of the agent that its own query goes to
	count  uint64
	dirty  bool // it is to be read
	broken bool // contact was lost since it was read last
	read   time.Time
	seen   seenChecks
	odd    time.Time     // when it is to be read if seen does not agree with the overview; zero: it did
	pause  time.Duration // until the time after that
}

func newSeats(c *Client) *seats {
	s := divide(c.config.MaxConns, 1)
	return &seats{
		client:    c,
		fresh:     make(chan struct{}, s.readers-s.retries),
		retries:   make(chan struct{}, s.retries),
		metrics:   newSeatMetrics(c.config.Metrics),
		all:       make(map[*seat]struct{}),
		overviews: make(map[string]*overview),
		asked:     newOverviewMetrics(c.config.Metrics),
	}
}

// begin notes that a watch begins, of a service that is to have a seat if s is
// not nil.
func (ss *seats) begin(s *seat) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.watches++
	if s == nil {
		return
	}
	s.seats, s.wake, s.dirty = ss, make(chan struct{}, 1), true
	s.homeless = rand.IntN(len(ss.client.agents))
	s.count = s.traffic()
	ss.all[s] = struct{}{}
	// Beyond these, it begins by sharing until seats are given out again.
	if len(ss.all) <= divide(ss.client.config.MaxConns, 1).own+1 || ss.stop == nil {
		ss.share(time.Now())
	}
}

// end notes that a watch has ended. When the last has, nothing of the seats
// runs any more.
func (ss *seats) end(s *seat) {
	ss.mu.Lock()
	ss.watches--
	last := ss.watches == 0
	if s != nil {
		delete(ss.all, s)
	}
	var done chan struct{}
	if last && ss.stop != nil {
		ss.stop()
		done, ss.stop = ss.done, nil
	}
	ss.mu.Unlock()
	if done != nil {
		<-done
	}
	if last {
		for _, a := range ss.client.agents {
			a.transport.CloseIdleConnections()
		}
	}
}

// share gives out the queries; mu is held.
func (ss *seats) share(now time.Time) {
	all := slices.Collect(maps.Keys(ss.all))
	demands := make([]demand, len(all))
	datacenters := make(map[string]bool)
	for i, s := range all {
		if count := s.traffic(); count != s.count {
			s.count, s.active = count, now
		}
		demands[i] = s.demand
		datacenters[s.datacenter] = true
	}
	agents := ss.client.answering()
	n := divide(ss.client.config.MaxConns, len(datacenters)).own * agents
	own, sharing := assign(now, demands, n), 0
	loads := make([]int, len(ss.client.agents)) // own queries by agent
	for i, s := range all {
		if own[i] && s.own && !ss.client.agents[s.home].lost() {
			loads[s.home]++
		}
	}
	most := (min(n, len(all)) + agents - 1) / agents
	for i, s := range all {
		switch was := s.own; {
		case own[i]:
			s.own = true
			if lost := ss.client.agents[s.home].lost(); !was || lost || loads[s.home] > most {
				if was && !lost {
					loads[s.home]--
				}
				s.home = ss.leastLoaded(loads)
				loads[s.home]++
			}
			if !was {
				s.nudge()
			}
		default:
			s.own = false
			sharing++
			if was {
				s.dirty = true // whatever it missed in between
			}
			if now.Sub(s.read) > rereadInterval && !s.read.IsZero() {
				s.dirty = true
				s.read = now.Add(-rand.N(rereadInterval / 4)) // lest all come at once from now on
			}
			if s.dirty {
				s.nudge()
			}
		}
	}
	ss.metrics.own.Set(float64(len(all) - sharing))
	ss.metrics.sharing.Set(float64(sharing))
	if sharing > 0 && ss.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		ss.stop, ss.done = cancel, make(chan struct{})
		go ss.run(ctx, ss.done)
	}
}

// leastLoaded returns the index of the agent that answers and has the fewest
// queries.
func (ss *seats) leastLoaded(loads []int) int {
	best := -1
	for i, a := range ss.client.agents {
		if !a.lost() && (best < 0 || loads[i] < loads[best]) {
			best = i
		}
	}
	return max(best, 0)
}

// run gives out seats and keeps an overview of each datacenter in which
// services share, until ctx ends.
func (ss *seats) run(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	defer func() {
		ss.mu.Lock()
		overviews := ss.overviews
		ss.overviews = make(map[string]*overview)
		ss.mu.Unlock()
		for _, o := range overviews {
			o.end()
		}
		ss.metrics.sharing.Set(0)
		ss.metrics.own.Set(0)
	}()
	ticker := time.NewTicker(seatInterval)
	defer ticker.Stop()
	for {
		ss.keepOverviews()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ss.mu.Lock()
		ss.share(time.Now())
		ss.tellStanding()
		ss.compare(time.Now())
		ss.mu.Unlock()
	}
}

// keepOverviews begins and ends overviews as services share.
func (ss *seats) keepOverviews() {
	ss.mu.Lock()
	sharing := make(map[string]bool)
	for s := range ss.all {
		if !s.own {
			sharing[s.datacenter] = true
		}
	}
	for dc := range sharing {
		if ss.overviews[dc] == nil {
			ss.overviews[dc] = newOverview(ss, dc)
		}
	}
	var over []*overview
	for dc, o := range ss.overviews {
		if !sharing[dc] {
			delete(ss.overviews, dc)
			over = append(over, o)
		}
	}
	ss.mu.Unlock()
	for _, o := range over {
		o.end()
	}
}

// tellStanding tells those that share whether news of them would come; mu is
// held.
func (ss *seats) tellStanding() {
	for s := range ss.all {
		if s.own {
			continue
		}
		if o := ss.overviews[s.datacenter]; o != nil {
			why, _ := o.trouble()
			s.stands(why == "")
		}
	}
}

// compare compares what was seen of those that share with what the overviews
// know; mu is held.
func (ss *seats) compare(now time.Time) {
	bad := make(map[string]*badChecks, len(ss.overviews))
	for dc, o := range ss.overviews {
		bad[dc] = o.checks()
	}
	for s := range ss.all {
		if b := bad[s.datacenter]; b != nil && !s.own {
			s.compare(now, b)
		}
	}
}

// trouble returns why no news of the service would come, if it shares, and
// since when.
func (s *seat) trouble() (why string, since time.Time) {
	s.seats.mu.Lock()
	o := s.seats.overviews[s.datacenter]
	own := s.own
	s.seats.mu.Unlock()
	if own || o == nil {
		return "", time.Time{}
	}
	return o.trouble()
}

// mark has those services read that share, are in the datacenter, and match.
func (ss *seats) mark(datacenter string, broken bool, match func(*seat) bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.all {
		if s.datacenter != datacenter || !match(s) {
			continue
		}
		s.dirty = true
		s.broken = s.broken || broken
		if !s.own {
			s.nudge()
		}
	}
}

// sharing returns how many services of a datacenter share.
func (ss *seats) sharing(datacenter string) (n int) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.all {
		if s.datacenter == datacenter && !s.own {
			n++
		}
	}
	return n
}

// nudge has take look again.
func (s *seat) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// saw takes note of the service's checks as it was read.
func (s *seat) saw(seen seenChecks) {
	s.seats.mu.Lock()
	defer s.seats.mu.Unlock()
	s.seen = seen
}

// compare has the service read anew if what was seen of it differs from what
// the overview knows, and goes on to for more than a moment: one of the two may
// just be older. Should reading it change nothing, it is done less and less
// often. seats.mu is held.
func (s *seat) compare(now time.Time, bad *badChecks) {
	switch {
	case s.dirty || s.read.IsZero():
	case bad.agrees(s.seen):
		s.odd = time.Time{}
	case s.odd.IsZero():
		s.odd, s.pause = now.Add(seatInterval/2), seatInterval
	case now.After(s.odd):
		s.pause = min(2*s.pause, rereadInterval)
		s.odd = now.Add(s.pause)
		s.dirty = true
		s.nudge()
	}
}

// take waits until the service has a query of its own, or is to be read. While
// nothing is answered, only the overview goes on asking.
func (s *seat) take(ctx context.Context, failures int) (turn, bool) {
	for {
		s.seats.mu.Lock()
		own, dirty := s.own, s.dirty || failures > 0
		if o := s.seats.overviews[s.datacenter]; o != nil && o.silent() {
			dirty = false // there is no use in asking; the overview does
		}
		t := turn{home: s.home, blocking: own, broken: s.broken, done: func() {}}
		if own {
			s.dirty, s.broken = false, false
		}
		s.seats.mu.Unlock()
		if ctx.Err() != nil {
			return turn{}, false
		}
		if own {
			return t, true
		}
		if dirty {
			return s.takeRead(ctx, failures)
		}
		select {
		case <-ctx.Done():
			return turn{}, false
		case <-s.wake:
		}
	}
}

// takeRead waits until there is room for another read.
func (s *seat) takeRead(ctx context.Context, failures int) (turn, bool) {
	room := s.seats.fresh
	if failures >= silentAfter { // a service that never answers is not to hold up the others
		room = s.seats.retries
	}
	select {
	case <-ctx.Done():
		return turn{}, false
	case room <- struct{}{}:
	}
	s.seats.mu.Lock()
	defer s.seats.mu.Unlock()
	// What changes from here on is news again.
	t := turn{home: s.homeless, broken: s.broken, done: func() { <-room }}
	s.dirty, s.broken, s.read = false, false, time.Now()
	return t, true
}
