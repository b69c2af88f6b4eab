package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/pkg/control"
)

const (
	// sessionTTL is Consul's smallest.
	sessionTTL = 10 * time.Second

	// beat is how often a task writes its figures and renews its session, and
	// how often it looks who else there is.
	beat = 2 * time.Second

	// silentAfter is how long a task may write nothing and still count.
	silentAfter = 3*beat + callTimeout
)

// sight is when a task was last seen to write.
type sight struct {
	beat uint64
	at   time.Time
}

// Join keeps this sluice listed until ctx ends, and then takes it off the list.
// self returns what it is now; again, which may be nil, asks for it to be
// written at once. changed is called whenever the number of tasks that are
// ready has changed.
func (f *Fleet) Join(ctx context.Context, self func() control.Task, again <-chan struct{}, changed func(ready int)) {
	var session string
	var n uint64
	ready := -1
	for {
		t := self()
		n++
		t.Beat = n
		session = f.write(ctx, session, t)
		tasks, err := f.read(ctx)
		if err == nil {
			if now := control.Ready(tasks); now != ready {
				ready = now
				changed(now)
			}
		}
		select {
		case <-ctx.Done():
			f.leave(session, t)
			return
		case <-again:
		case <-time.After(beat - beat/8 + rand.N(beat/4)):
		}
	}
}

// write renews the session, or makes one, and writes t, which it holds. It
// returns the session that there is then; empty if there is none.
func (f *Fleet) write(ctx context.Context, session string, t control.Task) string {
	c, err := f.connect()
	if err != nil {
		return session
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options := (&api.WriteOptions{}).WithContext(ctx)
	if session != "" {
		entry, _, err := c.Session().Renew(session, options)
		switch {
		case err == nil && entry == nil || err != nil && gone(err):
			session = "" // it expired, or Consul has lost it
		case err != nil:
			f.failed(c)
			return session
		}
	}
	if session == "" {
		session, _, err = c.Session().CreateNoChecks(&api.SessionEntry{
			Name: f.key("tasks", t.ID), TTL: sessionTTL.String(), Behavior: api.SessionBehaviorDelete, LockDelay: time.Millisecond,
		}, options)
		if err != nil {
			f.failed(c)
			return ""
		}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return session
	}
	ok, _, err := c.KV().Acquire(&api.KVPair{Key: f.key("tasks", t.ID), Value: b, Session: session}, options)
	switch {
	case err != nil && gone(err):
		return ""
	case err != nil:
		f.failed(c)
	case !ok:
		return "" // an older session of ours holds it until it ends
	}
	return session
}

// leave takes t off the list.
func (f *Fleet) leave(session string, t control.Task) {
	c, err := f.connect()
	if err != nil || session == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	options := (&api.WriteOptions{}).WithContext(ctx)
	_, _ = c.KV().Delete(f.key("tasks", t.ID), options) // or the session's end does
	_, _ = c.Session().Destroy(session, options)
}

// read lists the tasks.
func (f *Fleet) read(ctx context.Context) ([]control.Task, error) {
	c, err := f.connect()
	if err != nil {
		return nil, lost(err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pairs, _, err := c.KV().List(f.key("tasks")+"/", (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		f.failed(c)
		return nil, lost(err)
	}
	now := time.Now()
	var tasks []control.Task
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.seen
	f.seen = make(map[string]sight)
	for _, p := range pairs {
		var t control.Task
		if json.Unmarshal(p.Value, &t) != nil || t.ID == "" || !strings.HasSuffix(p.Key, "/"+t.ID) {
			continue // somebody else's
		}
		last := before[t.ID]
		if last.beat != t.Beat || last.at.IsZero() {
			last = sight{t.Beat, now}
		}
		f.seen[t.ID] = last
		t.Silent = p.Session == "" || now.Sub(last.at) > silentAfter
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b control.Task) int { return cmp.Compare(a.ID, b.ID) })
	f.tasks = tasks
	return slices.Clone(tasks), nil
}

// Tasks asks Consul who is in the fleet, in order of their IDs. On an error it
// returns those that were last seen, too.
func (f *Fleet) Tasks(ctx context.Context) ([]control.Task, error) {
	tasks, err := f.read(ctx)
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Clone(f.tasks), err
	}
	return tasks, nil
}
