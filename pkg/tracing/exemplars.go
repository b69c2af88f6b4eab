package tracing

import (
	"maps"
	"math"
	"sync"
	"time"
)

// Exemplar is a request of a histogram that can be found by its trace.
type Exemplar struct {
	Trace TraceID
	Span  SpanID
	Value float64 // seconds
	At    time.Time
}

const (
	// perOctave is how many exemplars are kept of values that differ by less than
	// a factor of two: so rare ones are not pushed out by common ones.
	perOctave = 4
	// maxHistograms bounds for how many histograms there are exemplars; those that
	// had none for staleAfter make room.
	maxHistograms = 4096
	staleAfter    = time.Hour
)

// Exemplars are the latest ones of histograms, by the histograms' names with
// labels. It is safe for concurrent use.
type Exemplars struct {
	// mu protects the field below.
	mu  sync.Mutex
	all map[string]*latest
}

// latest are those of one histogram, by the size of their value.
type latest struct {
	at     time.Time // of the last one
	bySize map[int]Exemplar
}

// observe keeps what became of a request for the histograms that it counts in.
func (e *Exemplars) observe(s *Span) {
	if len(s.Histograms) == 0 {
		return
	}
	x := Exemplar{Trace: s.Trace, Span: s.ID, Value: s.End.Sub(s.Start).Seconds(), At: s.End}
	size := int(math.Floor(perOctave * math.Log2(max(x.Value, 1e-9))))
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all == nil {
		e.all = make(map[string]*latest)
	}
	for _, name := range s.Histograms {
		l := e.all[name]
		if l == nil {
			if len(e.all) >= maxHistograms {
				maps.DeleteFunc(e.all, func(_ string, l *latest) bool { return x.At.Sub(l.at) > staleAfter })
			}
			if len(e.all) >= maxHistograms {
				continue
			}
			l = &latest{bySize: make(map[int]Exemplar)}
			e.all[name] = l
		}
		l.at, l.bySize[size] = x.At, x
	}
}

// Find returns the latest exemplar of a histogram whose value is above over and at
// most most. It may be asked of nil.
func (e *Exemplars) Find(histogram string, over, most float64) (found Exemplar, ok bool) {
	if e == nil {
		return found, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.all[histogram]; l != nil {
		for _, x := range l.bySize {
			if x.Value > over && x.Value <= most && (!ok || x.At.After(found.At)) {
				found, ok = x, true
			}
		}
	}
	return found, ok
}
