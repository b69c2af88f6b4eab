// Package metricset keeps metrics that come and go. A run has one set that
// stays, [Sets.Main], and one for each listener, service and watch, which is
// dropped whole with the last that shares it: nothing has to remember which
// metrics it made, and what is made again finds nothing in its way.
package metricset

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// Sets are the metrics of a run. All methods are safe for concurrent use.
type Sets struct {
	// Main holds what stays.
	Main *metrics.Set

	// mu protects the fields below.
	mu     sync.Mutex
	shared map[string]*Shared // by key
}

// New returns Sets with an empty Main.
func New() *Sets { return &Sets{Main: metrics.NewSet(), shared: make(map[string]*Shared)} }

// Shared is a set that lives until all who joined it have left. Since they
// share it, they must create metrics by its GetOrCreate methods, without
// callbacks.
type Shared struct {
	*metrics.Set
	sets    *Sets
	key     string
	members int // below sets.mu
}

// Join returns the set of key, a new one if nobody has it. Whoever joins must
// Leave.
func (s *Sets) Join(key string) *Shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.shared[key]
	if x == nil {
		x = &Shared{Set: metrics.NewSet(), sets: s, key: key}
		s.shared[key] = x
	}
	x.members++
	return x
}

// Leave gives the set back; the last to do so drops it. What counts in it
// later may do so, unseen.
func (x *Shared) Leave() {
	x.sets.mu.Lock()
	defer x.sets.mu.Unlock()
	if x.members--; x.members == 0 {
		delete(x.sets.shared, x.key)
	}
}

// WritePrometheus writes all sets in Prometheus' text format; see Describe.
func (s *Sets) WritePrometheus(w io.Writer) {
	var text bytes.Buffer
	s.WriteSeries(&text)
	Describe(w, text.Bytes())
}

// WriteSeries writes the series of all sets as they come, without a word on
// them, for who reads them within the process.
func (s *Sets) WriteSeries(w io.Writer) {
	s.mu.Lock()
	all := []*metrics.Set{s.Main}
	for _, key := range slices.Sorted(maps.Keys(s.shared)) {
		all = append(all, s.shared[key].Set)
	}
	s.mu.Unlock()
	for _, set := range all {
		set.WritePrometheus(w)
	}
}
