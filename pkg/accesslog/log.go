package accesslog

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	// defaultQueue is enough for a stall of the output of some 100 ms at
	// 100,000 requests a second.
	defaultQueue = 8192
	// flushDelay is how long records are gathered before they are written
	// together.
	flushDelay = 50 * time.Millisecond
)

// Config describes a Log.
type Config struct {
	// Sinks are where the lines go, each in a form of its own. A Write of one
	// that blocks holds up the others and makes records be dropped, nothing else.
	Sinks []Sink
	// Sample lets one in so many records pass, beside all that failed. 0 and 1
	// let all pass.
	Sample int
	// Queue is how many records may wait to be written. 0 means 8192. They take
	// up to a kilobyte each.
	Queue int
	// Metrics takes the counters of records written and dropped. It must not
	// be nil.
	Metrics *metrics.Set
}

// Log takes records and writes them. All methods are safe for concurrent use.
type Log struct {
	cfg     Config
	on      atomic.Bool
	sample  atomic.Uint64
	seen    atomic.Uint64 // records that may be left out
	written *metrics.Counter
	dropped *metrics.Counter

	wake chan struct{} // capacity 1; a token means that there is something
	full chan struct{} // capacity 1; a token means that half of the queue is
	done chan struct{} // closed when the writer has ended

	// mu protects the fields below.
	mu     sync.Mutex
	queue  []slot
	closed bool
}

// New returns a Log whose writer runs until Close.
func New(cfg Config) *Log {
	if cfg.Queue <= 0 {
		cfg.Queue = defaultQueue
	}
	l := &Log{
		cfg:     cfg,
		written: cfg.Metrics.GetOrCreateCounter("sluice_access_log_records_total"),
		dropped: cfg.Metrics.GetOrCreateCounter("sluice_access_log_dropped_total"),
		wake:    make(chan struct{}, 1),
		full:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	l.Set(true, cfg.Sample)
	go l.write()
	return l
}

// Set turns the log on or off, from the next record on, and lets one in so many
// records pass; see Config.Sample.
func (l *Log) Set(on bool, sample int) {
	l.on.Store(on)
	l.sample.Store(uint64(max(1, sample)))
}

// On reports whether records are wanted: nobody need make one otherwise. It may be
// asked of a nil Log.
func (l *Log) On() bool { return l != nil && l.on.Load() }

// Add queues a copy of r, or drops it if the queue is full. It does not block,
// and does not allocate once the queue's memory has grown to what it needs.
func (l *Log) Add(r *Record) {
	if !l.on.Load() {
		return
	}
	if n := l.sample.Load(); n > 1 && !r.failed() && l.seen.Add(1)%n != 1 {
		return
	}
	l.mu.Lock()
	n := len(l.queue)
	if n >= l.cfg.Queue || l.closed {
		l.mu.Unlock()
		l.dropped.Inc()
		return
	}
	if n == cap(l.queue) {
		l.queue = append(l.queue, slot{})
	} else {
		l.queue = l.queue[:n+1] // with the memory that the slot had before
	}
	l.queue[n].set(r)
	l.mu.Unlock()
	switch n {
	case 0:
		signal(l.wake)
	case l.cfg.Queue / 2:
		signal(l.full)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has been told already
	}
}

// Close writes what is queued and ends the writer, or returns ctx's error if
// that takes longer. Records that are added meanwhile or later are dropped.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	signal(l.wake)
	signal(l.full)
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the writer.
func (l *Log) write() {
	defer close(l.done)
	outs := make([]*outlet, len(l.cfg.Sinks))
	for i, sink := range l.cfg.Sinks {
		outs[i] = newOutlet(sink)
	}
	timer := time.NewTimer(flushDelay)
	defer timer.Stop()
	var batch []slot
	for {
		<-l.wake
		timer.Reset(flushDelay)
		select {
		case <-timer.C:
		case <-l.full:
		}
		l.mu.Lock()
		batch, l.queue = l.queue, batch[:0]
		closed := l.closed
		l.mu.Unlock()
		for i := range batch {
			for _, o := range outs {
				o.add(&batch[i], i == len(batch)-1)
			}
			batch[i].r = Record{} // lets go of what it refers to
		}
		l.written.Add(len(batch))
		if closed {
			return
		}
	}
}
