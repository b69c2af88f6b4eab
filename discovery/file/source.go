package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/discovery"
)

const (
	// interval is the time between two looks at a file.
	interval = 200 * time.Millisecond
	// maxBytes bounds what is read of it.
	maxBytes = 16 << 20
)

// Config says which file is read.
type Config struct {
	// Service is the service's name, for logs and metrics.
	Service string
	// Path is the file's path. The file need not exist yet.
	Path string
	// Logger takes a line for each change, and one when the file cannot be
	// used. Nil means that nothing is logged.
	Logger *slog.Logger
	// Metrics takes the counters of the service. Nil means that they are kept
	// nowhere.
	Metrics *metrics.Set
}

// Source follows a file. It is watched once.
type Source struct {
	config  Config
	logger  *slog.Logger
	changed *metrics.Counter // lists that were news
	errors  *metrics.Counter // contents that could not be used

	// mu protects the fields below.
	mu      sync.Mutex
	trouble string
	since   time.Time
	members int
}

var _ discovery.Source = (*Source)(nil)

// New returns a source. It does not read the file.
func New(config Config) *Source {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Metrics == nil {
		config.Metrics = metrics.NewSet()
	}
	count := func(result string) *metrics.Counter {
		return config.Metrics.GetOrCreateCounter("sluice_file_loads_total{service=" + strconv.Quote(config.Service) + ",result=" + strconv.Quote(result) + "}")
	}
	return &Source{
		config:  config,
		logger:  config.Logger.With("service", config.Service, "file", config.Path),
		changed: count("changed"),
		errors:  count("error"),
	}
}

// Reports tells of a file that cannot be used.
func (s *Source) Reports() []discovery.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := discovery.Report{Source: "file " + s.config.Path, Trouble: s.trouble, Since: s.since}
	if s.trouble != "" {
		r.Kept = s.members
	}
	return []discovery.Report{r}
}

// Watch follows the file until ctx ends; see discovery.Source.
func (s *Source) Watch(ctx context.Context, update func([]discovery.Member)) error {
	var (
		last     []discovery.Member
		reported bool
		seen     looks
	)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		data, err := read(s.config.Path)
		switch {
		case err != nil:
			s.tell(err.Error())
			seen = looks{}
		case seen.judge(data, !reported):
			members, err := parse(data)
			if err != nil {
				s.errors.Inc()
				s.tell(err.Error())
				break
			}
			s.well(len(members))
			if reported && slices.EqualFunc(members, last, discovery.Member.Equal) {
				break
			}
			if reported {
				s.logger.Info("the file has changed", "members", len(members))
			}
			last, reported = members, true
			s.changed.Inc()
			update(slices.Clone(members))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// looks is what was seen of a file.
type looks struct {
	judged []byte // what was judged last, nil for nothing
	before []byte // what was seen last, if it was something else
}

// judge reports whether data is to be judged: it is new and was seen twice in
// a row, lest somebody is still writing it, or there is nothing yet to lose.
func (l *looks) judge(data []byte, first bool) bool {
	switch {
	case l.judged != nil && bytes.Equal(data, l.judged):
		l.before = nil
		return false
	case !first && (l.before == nil || !bytes.Equal(data, l.before)):
		l.before = data
		return false
	}
	l.judged, l.before = data, nil
	return true
}

// read returns the content of the file at path, never nil without an error.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(f, maxBytes+1)); err == nil {
			if len(data) > maxBytes {
				return nil, fmt.Errorf("it has more than %d bytes", maxBytes)
			}
			return data, nil
		}
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return nil, fmt.Errorf("cannot read it: %w", err)
}

// well takes note that the file could be used.
func (s *Source) well(members int) {
	s.mu.Lock()
	before := s.trouble
	s.trouble, s.since, s.members = "", time.Time{}, members
	s.mu.Unlock()
	if before != "" {
		s.logger.Info("the file can be used again", "members", members)
	}
}

// tell takes note of trouble, and logs it when it is new.
func (s *Source) tell(trouble string) {
	s.mu.Lock()
	news := s.trouble != trouble
	if s.trouble == "" {
		s.since = time.Now()
	}
	s.trouble = trouble
	kept := s.members
	s.mu.Unlock()
	if news {
		s.logger.Warn("cannot use the file; the last good list stays", "kept_members", kept, "err", trouble)
	}
}
