package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/throttle"
)

// What the names of files are made of.
const (
	prefix, suffix = "sluice-", ".prom"
	stamp          = "20060102T150405.000Z"
)

// Config describes dumps.
type Config struct {
	// Dir is where they are; it is made if it is not there.
	Dir string
	// Interval is the time between two of them. It must be above 0.
	Interval time.Duration
	// Keep is how many files stay, and MaxSize how many bytes; the latest always
	// does. Both must be above 0.
	Keep    int
	MaxSize int64
	// Write writes the metrics. It must not be nil.
	Write func(*bytes.Buffer)
	// Metrics takes the counter of dumps, and Logger what an operator should know.
	// Neither may be nil.
	Metrics *metrics.Set
	Logger  *slog.Logger
}

// Dumper writes dumps until Close.
type Dumper struct {
	cfg             Config
	written, failed *metrics.Counter
	quiet           throttle.Throttle
	stop, done      chan struct{}
	once            sync.Once
}

// New returns a Dumper, whose first dump is written at once, so that a folder that
// cannot be used is an error here.
func New(cfg Config) (*Dumper, error) {
	d := &Dumper{
		cfg: cfg, stop: make(chan struct{}), done: make(chan struct{}),
		written: cfg.Metrics.GetOrCreateCounter(`sluice_metrics_dumps_total{result="written"}`),
		failed:  cfg.Metrics.GetOrCreateCounter(`sluice_metrics_dumps_total{result="error"}`),
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, err
	}
	if err := d.dump(time.Now()); err != nil {
		return nil, err
	}
	go d.run()
	return d, nil
}

// Close writes the last dump. It may be called twice.
func (d *Dumper) Close() {
	d.once.Do(func() { close(d.stop) })
	<-d.done
}

func (d *Dumper) run() {
	defer close(d.done)
	tick := time.NewTicker(d.cfg.Interval)
	defer tick.Stop()
	for open := true; open; {
		select {
		case <-tick.C:
		case <-d.stop:
			open = false
		}
		err := d.dump(time.Now())
		if err == nil {
			d.written.Inc()
			continue
		}
		d.failed.Inc()
		if ok, more := d.quiet.Allow(time.Now()); ok {
			d.cfg.Logger.Error("the metrics could not be dumped", "dir", d.cfg.Dir, "err", err, "more", more)
		}
	}
}

// dump writes one file, and removes those that are too many.
func (d *Dumper) dump(now time.Time) error {
	var b bytes.Buffer
	d.cfg.Write(&b)
	name := fmt.Sprintf("%s%s-%d%s", prefix, now.UTC().Format(stamp), os.Getpid(), suffix)
	part := filepath.Join(d.cfg.Dir, "."+name+".part")
	err := os.WriteFile(part, b.Bytes(), 0o640)
	if err == nil {
		err = os.Rename(part, filepath.Join(d.cfg.Dir, name))
	}
	if err != nil {
		_ = os.Remove(part) // as far as there is one
		return err
	}
	return d.prune(now)
}

// leftover is how old a file is at least that was begun and never finished.
const leftover = time.Hour

// prune removes the oldest dumps, as long as there are too many, and what a process
// that was killed has left behind.
func (d *Dumper) prune(now time.Time) error {
	entries, err := os.ReadDir(d.cfg.Dir)
	if err != nil {
		return err
	}
	slices.Reverse(entries) // the latest come first
	var errs []error
	files, bytes := 0, int64(0)
	for _, e := range entries {
		part := strings.HasPrefix(e.Name(), "."+prefix) && strings.HasSuffix(e.Name(), suffix+".part")
		if !e.Type().IsRegular() || !part && !isDump(e.Name()) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		old := false
		switch {
		case err != nil:
			errs = append(errs, err)
		case part:
			old = now.Sub(info.ModTime()) > leftover
		default:
			files, bytes = files+1, bytes+info.Size()
			old = files > 1 && (files > d.cfg.Keep || bytes > d.cfg.MaxSize)
		}
		if old {
			if err := os.Remove(filepath.Join(d.cfg.Dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// isDump reports whether a file of that name is a dump.
func isDump(name string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || !strings.HasSuffix(rest, suffix) || len(rest) < len(stamp) {
		return false
	}
	_, err := time.Parse(stamp, rest[:len(stamp)])
	return err == nil
}
