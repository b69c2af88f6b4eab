package history

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind says what a mark is about.
type Kind string

// The kinds of marks.
const (
	Transition Kind = "transition" // of a backend
	Operator   Kind = "operator"   // somebody changed something
	Reload     Kind = "reload"     // the configuration was read again
	Contact    Kind = "contact"    // with a source of members, such as Consul, lost or back
)

// Mark is something that happened, to be shown where it may explain a curve.
type Mark struct {
	At      time.Time `json:"at"`
	Kind    Kind      `json:"kind"`
	Service string    `json:"service,omitempty"` // empty: all
	Backend string    `json:"backend,omitempty"`
	Text    string    `json:"text"`
}

// Store is what is remembered. All methods are safe for concurrent use.
type Store struct {
	start time.Time // of step 0

	// mu protects the fields below.
	mu       sync.Mutex
	before   *Reading // nil before the first
	read     time.Time
	minute   *Reading // of the beginning of the present minute
	minuteAt time.Time
	total    *ring
	services map[string]*ring
	marks    []Mark // by time
	omitted  int    // services with traffic that found no place, of the last reading
}

// New returns an empty Store whose first step begins now.
func New(now time.Time) *Store {
	return &Store{start: now, total: newRing(0), services: make(map[string]*ring)}
}

// number returns the number of the step that a moment is in.
func (s *Store) number(at time.Time) int { return int(at.Sub(s.start) / time.Second) }

// Add makes a step of what a reading has more than the one before. The first
// makes none, and neither does a second one within the same second. If seconds
// were missed, what happened in them is spread over the time that passed, and
// shown in the last of them alone.
func (s *Store) Add(now time.Time, r Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before == nil {
		s.before, s.read, s.minute, s.minuteAt = &r, now, &r, now
		return
	}
	n := s.number(now)
	if n <= s.total.last {
		return
	}
	whole := s.number(s.minuteAt)/60 != n/60
	elapsed := now.Sub(s.read)
	s.total.put(n, step(&s.before.Total, &r.Total, elapsed))
	s.forget(n)
	s.omitted = 0
	for name, counts := range r.Services {
		before := s.before.Services[name]
		if before == nil {
			before = &Counts{}
		}
		at := step(before, counts, elapsed)
		ring := s.services[name]
		if ring == nil {
			if at.idle() {
				continue
			}
			if ring = s.place(name, n); ring == nil {
				s.omitted++
				continue
			}
		}
		ring.put(n, at)
		ring.seen = n
	}
	s.before, s.read = &r, now
	if whole {
		s.closeMinute(now, n/60-1, &r)
	}
}

// closeMinute makes minute m of what a reading at its end has more than the one
// at its beginning.
func (s *Store) closeMinute(now time.Time, m int, r *Reading) {
	elapsed := now.Sub(s.minuteAt)
	s.total.putMinute(m, step(&s.minute.Total, &r.Total, elapsed))
	for name, ring := range s.services {
		before, counts := s.minute.Services[name], r.Services[name]
		if counts == nil {
			continue
		}
		if before == nil {
			before = &Counts{}
		}
		ring.putMinute(m, step(before, counts, elapsed))
	}
	s.minute, s.minuteAt = r, now
}

// Hour returns the last Minutes whole minutes of a service or, by an empty name,
// of all together, the oldest first; nil of a service of which nothing is known.
func (s *Store) Hour(service string) []Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.total
	if service != "" {
		r = s.services[service]
	}
	if r == nil {
		return nil
	}
	all := make([]Step, 0, Minutes)
	for m := s.total.latestMinute - Minutes + 1; m <= s.total.latestMinute; m++ {
		all = append(all, r.minute(m))
	}
	return all
}

// idle reports whether a step says that nothing happens.
func (s *Step) idle() bool {
	for m, v := range s {
		if v > 0 && !Metric(m).isQuantile() {
			return false
		}
	}
	return true
}

// place returns a new ring for a service. If there are too many, one whose
// service is gone makes place; nil if none is.
func (s *Store) place(name string, n int) *ring {
	if len(s.services) >= MaxServices {
		oldest, seen := "", n
		for other, r := range s.services {
			if r.seen < seen-1 {
				oldest, seen = other, r.seen
			}
		}
		if oldest == "" {
			return nil
		}
		delete(s.services, oldest)
	}
	r := newRing(n)
	s.services[name] = r
	return r
}

// forget drops services that have been gone for as long as is remembered.
func (s *Store) forget(n int) {
	maps.DeleteFunc(s.services, func(_ string, r *ring) bool { return r.seen <= n-Steps })
	s.marks = slices.DeleteFunc(s.marks, func(m Mark) bool { return s.number(m.At) <= n-Steps })
}

// Mark adds a mark. Beyond MaxMarks the oldest goes.
func (s *Store) Mark(m Mark) {
	if len(m.Text) > MaxText {
		m.Text = strings.ToValidUTF8(m.Text[:MaxText-3], "") + "…"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.marks) == MaxMarks {
		s.marks = slices.Delete(s.marks, 0, 1)
	}
	i, _ := slices.BinarySearchFunc(s.marks, m.At, func(x Mark, at time.Time) int {
		if x.At.After(at) {
			return 1
		}
		return -1
	})
	s.marks = slices.Insert(s.marks, i, m)
}

// Latest returns the latest step of the total and of each service, and its
// number; -1 if there is none yet.
func (s *Store) Latest() (n int, total Step, services map[string]Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = s.total.last
	services = make(map[string]Step, len(s.services))
	for name, r := range s.services {
		services[name] = r.at(n)
	}
	return n, s.total.at(n), services
}

// Range returns the steps from number first on, of a service or, by an empty
// name, of all together. There are none of a service of which nothing is known.
func (s *Store) Range(service string, first int) []Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.total
	if service != "" {
		r = s.services[service]
	}
	if r == nil {
		return nil
	}
	return s.steps(r, first)
}

// steps returns the steps of r from number first on; s.mu is held.
func (s *Store) steps(r *ring, first int) []Step {
	first = max(first, s.total.last-Steps+1, 0)
	all := make([]Step, 0, max(0, s.total.last-first+1))
	for n := first; n <= s.total.last; n++ {
		all = append(all, r.at(n))
	}
	return all
}

// Question is what is asked of a Store.
type Question struct {
	// Service is one service, "" all together, "*" that and each service.
	Service string
	Metrics []Metric // none: all
	// Since is the number of the first step that is asked for; earlier ones than
	// are kept are left out.
	Since int
	// Width is how many seconds one value stands for, 1 at least.
	Width int
}

// Series is one service's part of an Answer.
type Series struct {
	Service string // empty: all together
	Steps   []Step // of Width seconds each, the oldest first
}

// Answer is the answer to a Question.
type Answer struct {
	From    time.Time // when the first value's time begins
	First   int       // number of its first step
	Next    int       // Since of the question to ask next
	Width   int
	Series  []Series
	Marks   []Mark
	Omitted int // services with traffic of which nothing is kept, since they are too many
}

// Ask answers a question. Values of several seconds begin at numbers that are
// multiples of the width, so that they stay the same while time goes on; one
// that is not complete is left for later.
func (s *Store) Ask(q Question) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	width := max(1, q.Width)
	end := (s.total.last + 1) / width * width
	first := max(q.Since, s.total.last-Steps+1, 0)
	first = (first + width - 1) / width * width
	a := Answer{From: s.start.Add(time.Duration(first) * time.Second), First: first, Next: max(first, end), Width: width, Series: []Series{}, Marks: []Mark{}, Omitted: s.omitted}
	add := func(name string, r *ring) {
		series := Series{Service: name, Steps: []Step{}}
		part := make([]Step, width)
		for n := first; n < end; n += width {
			for i := range part {
				part[i] = r.at(n + i)
			}
			if width == 1 {
				series.Steps = append(series.Steps, part[0])
			} else {
				series.Steps = append(series.Steps, mean(part))
			}
		}
		a.Series = append(a.Series, series)
	}
	if q.Service == "" || q.Service == "*" {
		add("", s.total)
	}
	for _, name := range slices.Sorted(maps.Keys(s.services)) {
		if q.Service == name || q.Service == "*" {
			add(name, s.services[name])
		}
	}
	for _, m := range s.marks {
		// A mark may be set after its second was asked for.
		if s.number(m.At) >= first-markLag && (q.Service == "" || q.Service == "*" || m.Service == "" || m.Service == q.Service) {
			a.Marks = append(a.Marks, m)
		}
	}
	return a
}

// markLag is how many seconds before the first step marks are told again.
const markLag = 5
