package logwriter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	// defaultSize holds some thousands of lines.
	defaultSize = 1 << 20
	// againAfter is how long an output that is not blocking, and full, is left
	// alone.
	againAfter = 10 * time.Millisecond
)

// Config describes a Writer.
type Config struct {
	// Out takes the lines, some together in each Write. It must not be nil. It
	// may block and fail.
	Out io.Writer
	// Size is how many bytes may wait to be written. 0 means 1 MiB.
	Size int
	// Tell writes a line that says that so many are missing. err is what Out
	// failed with, nil if it was too slow. It must not be nil.
	Tell func(w io.Writer, lines int, err error)
	// Metrics takes the counters of lines that were lost. It must not be nil.
	Metrics *metrics.Set
}

// Writer is an io.Writer that does not wait for what it writes to. All methods
// are safe for concurrent use.
type Writer struct {
	cfg     Config
	full    *metrics.Counter // lines that found no room
	refused *metrics.Counter // lines that Out did not take
	done    chan struct{}    // closed when the goroutine has ended

	// mu protects the fields below.
	mu     sync.Mutex
	wake   sync.Cond // for the goroutine: there is something
	room   sync.Cond // for the patient: there may be room, or Close was called
	queue  []byte
	lost   int // lines that found no room since queue was last taken
	closed bool
}

// New returns a Writer whose goroutine runs until Close.
func New(cfg Config) *Writer {
	if cfg.Size <= 0 {
		cfg.Size = defaultSize
	}
	w := &Writer{
		cfg:     cfg,
		full:    cfg.Metrics.GetOrCreateCounter(`sluice_log_lost_lines_total{reason="slow_output"}`),
		refused: cfg.Metrics.GetOrCreateCounter(`sluice_log_lost_lines_total{reason="write_error"}`),
		done:    make(chan struct{}),
	}
	w.wake.L, w.room.L = &w.mu, &w.mu
	go w.run()
	return w
}

// Write queues a copy of p, whole lines, or drops it if there is no room. It
// returns len(p) and nil whatever becomes of it.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(p)
	return len(p), nil
}

// add queues a copy of p; w.mu is held.
func (w *Writer) add(p []byte) {
	if w.closed || len(w.queue)+len(p) > w.cfg.Size {
		n := lines(p)
		w.lost += n
		w.full.Add(n)
		return
	}
	w.queue = append(w.queue, p...)
	w.wake.Signal()
}

// Patient returns a writer onto the same output that waits while less than
// half of the room is free, instead of dropping lines. Close ends the waiting.
func (w *Writer) Patient() io.Writer { return patient{w} }

type patient struct{ w *Writer }

func (p patient) Write(b []byte) (int, error) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 && len(w.queue)+len(b) > w.cfg.Size/2 && !w.closed {
		w.room.Wait()
	}
	w.add(b)
	return len(b), nil
}

// Close has what is queued written and ends the goroutine, or returns ctx's
// error if that takes longer; what is left is then lost. Lines that are written
// meanwhile or later are lost.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	w.closed = true
	w.wake.Signal()
	w.room.Broadcast()
	w.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes what is queued.
func (w *Writer) run() {
	defer close(w.done)
	var (
		o       = output{w: w.cfg.Out}
		batch   []byte
		missing int   // lines lost of which nothing was said yet
		why     error // what the output failed with, if it was not too slow
	)
	tell := func() {
		var b bytes.Buffer
		w.cfg.Tell(&b, missing, why)
		if _, err := o.write(b.Bytes()); err == nil {
			missing, why = 0, nil
		}
	}
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && w.lost == 0 && !w.closed {
			w.wake.Wait()
		}
		batch, w.queue = w.queue, batch[:0]
		lost, closed := w.lost, w.closed
		w.lost = 0
		w.room.Broadcast()
		w.mu.Unlock()
		if missing > 0 && len(batch) > 0 {
			tell() // what is missing came before
		}
		n, err := o.write(batch)
		if err != nil {
			refused := lines(batch[n:])
			w.refused.Add(refused)
			missing, why = missing+refused, err
		}
		if missing += lost; missing > 0 && err == nil {
			tell()
		}
		if closed {
			return
		}
	}
}

// output keeps lines apart, whatever is written of them.
type output struct {
	w    io.Writer
	torn bool // the last line that was written lacks its end
}

// write writes b and returns how much of it was. An output that somebody else
// has made not to block is waited for.
func (o *output) write(b []byte) (written int, err error) {
	if o.torn && len(b) > 0 {
		if _, err := o.w.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		o.torn = false
	}
	for written < len(b) {
		n, err := o.w.Write(b[written:])
		written += n
		if n > 0 {
			o.torn = b[written-1] != '\n'
		}
		switch {
		case errors.Is(err, syscall.EAGAIN):
			time.Sleep(againAfter)
		case err != nil:
			return written, err
		}
	}
	return written, nil
}

// lines returns how many lines p has, one that is not ended included.
func lines(p []byte) int {
	n := bytes.Count(p, []byte{'\n'})
	if len(p) > 0 && p[len(p)-1] != '\n' {
		n++
	}
	return n
}
