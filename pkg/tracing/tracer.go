package tracing

import (
	"context"
	"math/rand/v2"

	"github.com/VictoriaMetrics/metrics"
)

// defaultQueue is how many spans may wait. They take about a kilobyte each.
const defaultQueue = 2048

// Sink takes spans, one at a time and from one goroutine, and may block.
type Sink interface {
	Emit(*Span)
	// Close sends what there is, or returns ctx's error if that takes longer.
	Close(ctx context.Context) error
}

// Config describes a Tracer.
type Config struct {
	// Sink must not be nil.
	Sink Sink
	// Share is the part, 0 to 1, of the requests without a trace of their own that
	// is sampled.
	Share float64
	// Queue is how many spans may wait for the sink. 0 means 2048.
	Queue int
	// Metrics takes the counter of spans that were dropped. It must not be nil.
	Metrics *metrics.Set
}

// Tracer takes spans. All methods are safe for concurrent use.
type Tracer struct {
	cfg     Config
	queue   chan *Span
	stop    chan struct{} // closed when no more is to come
	done    chan struct{} // closed when all that was queued has been emitted
	dropped *metrics.Counter

	exemplars Exemplars
}

// Dropped is the name of the counter of spans that were lost; requests have two.
const Dropped = "sluice_otlp_dropped_spans_total"

// New returns a Tracer whose goroutine runs until Close.
func New(cfg Config) *Tracer {
	if cfg.Queue <= 0 {
		cfg.Queue = defaultQueue
	}
	t := &Tracer{
		cfg: cfg, queue: make(chan *Span, cfg.Queue), stop: make(chan struct{}), done: make(chan struct{}),
		dropped: cfg.Metrics.GetOrCreateCounter(Dropped + `{reason="queue"}`),
	}
	go t.run()
	return t
}

// Sample decides whether a request is sampled that has no trace of its own. share,
// 0 to 1, is that of who knows better, if it is not 0.
func (t *Tracer) Sample(share float64) bool {
	if share == 0 {
		share = t.cfg.Share
	}
	return share >= 1 || rand.Float64() < share
}

// Add takes s, or drops it if too many wait. It does not block.
func (t *Tracer) Add(s *Span) {
	select {
	case t.queue <- s:
	default:
		t.dropped.Add(s.Count())
	}
}

// Count returns how many spans s is.
func (s *Span) Count() int {
	if s.Upstream.Start.IsZero() {
		return 1
	}
	return 2
}

func (t *Tracer) run() {
	defer close(t.done)
	for {
		select {
		case s := <-t.queue:
			t.emit(s)
		case <-t.stop:
			for {
				select {
				case s := <-t.queue:
					t.emit(s)
				default:
					return
				}
			}
		}
	}
}

func (t *Tracer) emit(s *Span) {
	t.exemplars.observe(s)
	t.cfg.Sink.Emit(s)
}

// Exemplars returns requests of histograms that were sampled; nil of a nil Tracer.
func (t *Tracer) Exemplars() *Exemplars {
	if t == nil {
		return nil
	}
	return &t.exemplars
}

// Close has what is queued sent, or returns ctx's error if that takes longer. It
// is called once; what is added later may be lost.
func (t *Tracer) Close(ctx context.Context) error {
	close(t.stop)
	select {
	case <-t.done:
	case <-ctx.Done():
	}
	return t.cfg.Sink.Close(ctx)
}
