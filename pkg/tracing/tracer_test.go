package tracing

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// sink takes a span when it is let.
type sink struct {
	let   chan struct{}
	spans []*Span
}

func (s *sink) Emit(sp *Span) { <-s.let; s.spans = append(s.spans, sp) }

func (s *sink) Close(ctx context.Context) error { return ctx.Err() }

// TestQueue fills the queue of a sink that takes nothing: Add does not wait, and
// what had no room is counted; the rest is emitted by Close.
func TestQueue(t *testing.T) {
	t.Parallel()
	s := &sink{let: make(chan struct{})}
	set := metrics.NewSet()
	tr := New(Config{Sink: s, Queue: 3, Metrics: set})
	dropped := set.GetOrCreateCounter(Dropped + `{reason="queue"}`)
	added := 0
	for dropped.Get() == 0 {
		sp := &Span{}
		sp.Upstream.Start = time.Unix(1, 0)
		tr.Add(sp)
		if added++; added > 10 {
			t.Fatal("nothing is dropped")
		}
	}
	if n := dropped.Get(); n != 2 {
		t.Errorf("unexpected number of spans dropped: %d", n)
	}
	close(s.let)
	if err := tr.Close(t.Context()); err != nil || len(s.spans) != added-1 {
		t.Errorf("unexpected end: %d of %d emitted, %v", len(s.spans), added, err)
	}
}

// TestCloseIsBounded closes a Tracer whose sink is stuck.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	s := &sink{let: make(chan struct{})}
	defer close(s.let)
	tr := New(Config{Sink: s, Metrics: metrics.NewSet()})
	tr.Add(&Span{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("unexpected error: %v", err)
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	tr := New(Config{Sink: &sink{}, Share: 0.5, Metrics: metrics.NewSet()})
	f := func(share float64, least, most int) {
		t.Helper()
		n := 0
		for range 1000 {
			if tr.Sample(share) {
				n++
			}
		}
		if n < least || n > most {
			t.Errorf("%d of 1000 sampled at %v; want %d to %d", n, share, least, most)
		}
	}
	f(0, 350, 650) // by chance, in 10^-20 of all runs it is not
	f(1, 1000, 1000)
	f(1e-9, 0, 5)
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestExemplars keeps the latest of each size, so that rare ones stay.
func TestExemplars(t *testing.T) {
	t.Parallel()
	tr := New(Config{Sink: discard{}, Share: 1, Metrics: metrics.NewSet()})
	begin := time.Unix(1000, 0)
	add := func(d time.Duration) TraceID {
		s := &Span{Trace: NewTraceID(), Start: begin, End: begin.Add(d), Histograms: []string{"a", "b"}}
		tr.Add(s)
		return s.Trace
	}
	slow := add(3 * time.Second)
	var fast TraceID
	for i := range 1000 {
		fast = add(time.Millisecond + time.Duration(i))
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := tr.Exemplars()
	if x, ok := e.Find("a", 1, 5); !ok || x.Trace != slow || x.Value != 3 {
		t.Errorf("unexpected exemplar of what was slow: %+v, %v", x, ok)
	}
	if x, ok := e.Find("b", -1, 1); !ok || x.Trace != fast {
		t.Errorf("unexpected exemplar of what was fast: %+v, %v", x, ok)
	}
	if _, ok := e.Find("a", 5, 10); ok {
		t.Error("there is an exemplar where none was")
	}
	if _, ok := e.Find("c", 0, 10); ok {
		t.Error("there is an exemplar of a histogram that is not there")
	}
	if _, ok := (*Tracer)(nil).Exemplars().Find("a", 0, 10); ok {
		t.Error("there is an exemplar without a tracer")
	}
}

type discard struct{}

func (discard) Emit(*Span)                  {}
func (discard) Close(context.Context) error { return nil }
