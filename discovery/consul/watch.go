package consul

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"
)

// question is what a watch asks Consul again and again, and what it makes of
// the answers. Its functions are called from the watch's goroutine alone.
type question[T any] struct {
	// what names the question in errors.
	what string
	// ask sends one query to an agent.
	ask func(*api.Client, *api.QueryOptions) (T, *api.QueryMeta, error)
	// doubt reports whether an answer needs the leader's confirmation.
	doubt func(T) bool
	// accept takes an answer that is believed and reports whether it was news.
	// broken says that contact was lost since the answer before, or that Consul
	// was restored or replaced.
	accept func(a T, meta *api.QueryMeta, broken bool) (news bool)
	// kept returns how many members stay in use while Consul does not answer.
	kept func() int
}

// watch is one run of a question; one goroutine owns it.
type watch[T any] struct {
	question[T]
	client  *Client
	turns   turns
	metrics *queryMetrics
	contact *contact
	bucket  bucket

	agent   *agent    // that answered last
	index   uint64    // for the next query; 0 makes it a read that does not block
	broken  bool      // a query failed since the last answer
	failing int       // queries in a row that failed
	judged  time.Time // when an answer last said how stale it is
}

// run asks until ctx ends and returns its error. s is the seat that gives the
// watch its turns, if it has one.
func (w *watch[T]) run(ctx context.Context, s *seat) error {
	w.client.seats.begin(s)
	defer w.client.seats.end(s)
	return w.loop(ctx)
}

func (w *watch[T]) loop(ctx context.Context) error {
	defer w.metrics.connected.Set(0)
	for {
		err := w.step(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			w.failing = 0
			continue
		}
		w.failing++
		w.index, w.broken = 0, true
		w.metrics.failed()
		w.client.refused(err)
		failures := w.contact.failed(time.Now(), err, w.kept())
		sleep(ctx, backoff(failures, rand.Float64()))
	}
}

// step waits for a turn and asks Consul, one agent after the other until one
// answers.
func (w *watch[T]) step(ctx context.Context) (err error) {
	t, ok := w.turns.take(ctx, w.failing)
	if !ok {
		return ctx.Err()
	}
	defer t.done()
	w.broken = w.broken || t.broken
	for _, a := range w.client.order(t.home, time.Now()) {
		if a != w.agent {
			w.agent, w.index = a, 0 // it may not be as far as the other one
		}
		if err = w.put(ctx, t.blocking); err == nil {
			a.succeeded()
			return nil
		}
		if ctx.Err() != nil || !agentsFault(err) {
			return err
		}
		a.failed(time.Now(), err, len(w.client.agents) == 1)
		w.broken = true
	}
	return err
}

// put asks an agent once, or twice if the first answer needs the leader's
// confirmation, and has the answer accepted.
func (w *watch[T]) put(ctx context.Context, blocking bool) error {
	if !blocking {
		return w.read(ctx)
	}
	if time.Since(w.judged) >= w.client.recheck {
		w.index = 0
	}
	sent := w.index
	a, meta, err := w.query(ctx, &api.QueryOptions{AllowStale: true, WaitIndex: sent, WaitTime: w.client.config.Wait}, w.client.queryTimeout)
	if err != nil {
		return err
	}
	// Only answers to blocking queries compare: others come from elsewhere in
	// Consul and may have a lower index.
	broken := w.broken || meta.LastIndex < sent
	if w.tooStale(sent, meta) || w.doubt(a) {
		// In default mode only the leader answers, so there is no one left
		// to doubt.
		w.metrics.confirmed.Inc()
		if a, meta, err = w.query(ctx, &api.QueryOptions{}, w.client.queryTimeout); err != nil {
			return err
		}
	}
	w.take(a, meta, broken, nextIndex(sent, meta.LastIndex))
	return nil
}

// read asks the leader, as something is said to have changed that another
// server may not know of yet.
func (w *watch[T]) read(ctx context.Context) error {
	limit := w.client.firstTimeout
	if w.failing >= silentAfter {
		limit = w.client.readTimeout
	}
	a, meta, err := w.query(ctx, &api.QueryOptions{}, limit)
	if err != nil {
		return err
	}
	w.take(a, meta, w.broken, 0)
	return nil
}

// take has an answer accepted; next is the index of the next query.
func (w *watch[T]) take(a T, meta *api.QueryMeta, broken bool, next uint64) {
	now := time.Now()
	w.index = next
	w.contact.succeeded(now)
	w.broken = false
	w.metrics.succeeded(now, w.accept(a, meta, broken))
}

// query sends a query as soon as the rate limit allows.
func (w *watch[T]) query(ctx context.Context, options *api.QueryOptions, limit time.Duration) (a T, _ *api.QueryMeta, err error) {
	if !sleep(ctx, w.bucket.take(time.Now())) {
		return a, nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	options.Token = w.client.token()
	a, meta, err := w.ask(w.agent.consul, options.WithContext(ctx))
	if err != nil {
		return a, nil, fmt.Errorf("cannot query %s: %w", w.what, err)
	}
	return a, meta, nil
}

// tooStale reports whether the server that answered a query with index sent
// is out of touch with its leader. Streaming answers do not say.
func (w *watch[T]) tooStale(sent uint64, meta *api.QueryMeta) bool {
	if sent != 0 && meta.QueryBackend != api.QueryBackendBlockingQuery {
		return false
	}
	w.judged = time.Now()
	return !meta.KnownLeader || meta.LastContact > w.client.config.MaxStale
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
