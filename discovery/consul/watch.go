package consul

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// service is the Source of one service. It never changes; what a watch learns
// is the watch's own.
type service struct {
	client  *Client
	name    string
	tag     string
	log     *slog.Logger
	metrics *serviceMetrics
}

var _ discovery.Source = (*service)(nil)

// Watch follows the service until ctx ends; see discovery.Source.
func (s *service) Watch(ctx context.Context, update func([]backend.Target)) error {
	w := &watch{
		service: s,
		update:  update,
		bucket:  bucket{interval: rateInterval, burst: rateBurst},
		contact: contact{log: s.log},
	}
	// Idle connections would outlive the watch by a minute or more. Other
	// watches of the client at most have to connect again.
	defer s.client.transport.CloseIdleConnections()
	defer s.metrics.connected.Set(0)
	for {
		err := w.step(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue
		}
		w.index = 0
		s.metrics.failed()
		w.contact.failed(time.Now(), err, len(w.last))
		sleep(ctx, backoff(w.contact.failures, rand.Float64()))
	}
}

// watch is one run of Watch; one goroutine owns it.
type watch struct {
	*service
	update  func([]backend.Target)
	bucket  bucket
	contact contact

	index    uint64            // for the next query; 0 makes it a read that does not block
	judged   time.Time         // when an answer last said how stale it is
	last     []backend.Target  // reported last
	reported bool              // whether last has been reported
	bad      map[string]string // reason by ID, for each bad entry of the last answer
}

// step asks Consul once, or twice if the first answer needs the leader's
// confirmation, and reports the list if it is news.
func (w *watch) step(ctx context.Context) error {
	if time.Since(w.judged) >= w.client.recheck {
		w.index = 0
	}
	sent := w.index
	a, err := w.query(ctx, &api.QueryOptions{AllowStale: true, WaitIndex: sent, WaitTime: w.client.config.Wait})
	if err != nil {
		return err
	}
	if w.tooStale(sent, a.meta) || w.news(a.targets) && doubtful(w.last, a.targets) {
		// In default mode only the leader answers, so there is no one left
		// to doubt.
		if a, err = w.query(ctx, &api.QueryOptions{}); err != nil {
			return err
		}
	}

	now := time.Now()
	w.index = nextIndex(sent, a.meta.LastIndex)
	w.metrics.succeeded(now)
	w.contact.succeeded(now)
	w.skip(a.bad)
	if w.news(a.targets) {
		if len(a.targets) == 0 && a.meta.DefaultACLPolicy == "deny" {
			// From who has no token, Consul hides entries without saying so.
			w.log.Warn("Consul lists no members of the service, and denies by default: if there are some, check the ACL token")
		}
		w.last, w.reported = a.targets, true
		w.metrics.updates.Inc()
		w.update(slices.Clone(a.targets))
	}
	return nil
}

// answer is a usable answer to a query.
type answer struct {
	targets []backend.Target
	bad     []badEntry
	meta    *api.QueryMeta
}

// query sends a query as soon as the rate limit allows.
func (w *watch) query(ctx context.Context, options *api.QueryOptions) (answer, error) {
	if !sleep(ctx, w.bucket.take(time.Now())) {
		return answer{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, w.client.queryTimeout)
	defer cancel()
	w.metrics.queries.Inc()
	entries, meta, err := w.client.consul.Health().Service(w.name, "", false, options.WithContext(ctx))
	if err == nil && len(entries) == 0 && meta.ResultsFilteredByACLs {
		err = errHidden
	}
	if err != nil {
		return answer{}, fmt.Errorf("cannot query service %q: %w", w.name, err)
	}
	targets, bad := targetsOf(entries, w.tag)
	return answer{targets: targets, bad: bad, meta: meta}, nil
}

// tooStale reports whether the server that answered a query with index sent
// is out of touch with its leader. Streaming answers do not say.
func (w *watch) tooStale(sent uint64, meta *api.QueryMeta) bool {
	if sent != 0 && meta.QueryBackend != api.QueryBackendBlockingQuery {
		return false
	}
	w.judged = time.Now()
	return !meta.KnownLeader || meta.LastContact > w.client.config.MaxStale
}

// news reports whether targets have to be reported.
func (w *watch) news(targets []backend.Target) bool {
	return !w.reported || !slices.Equal(targets, w.last)
}

// skip counts the bad entries of an answer and logs those that the answer
// before did not have.
func (w *watch) skip(bad []badEntry) {
	w.metrics.skipped.Add(len(bad))
	known := w.bad
	w.bad = make(map[string]string, len(bad))
	for _, b := range bad {
		w.bad[b.id] = b.reason
		if known[b.id] != b.reason {
			w.log.Warn("skipped a bad entry of the service", "entry", b.id, "reason", b.reason)
		}
	}
}

// nextIndex returns the index for the query after one that was sent with an
// index and answered with another.
func nextIndex(sent, got uint64) uint64 {
	if got < sent { // Consul was restored or replaced: start over
		return 0
	}
	return max(got, 1) // with 0 the next query would not block
}

// sleep waits for d and reports true, or false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
