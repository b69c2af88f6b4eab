package consul

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// overviewInterval is how often each query of an overview is sent at most
	// in the long run, and scanInterval how often instances are compared.
	overviewInterval = 250 * time.Millisecond
	overviewBurst    = 2
	scanInterval     = 750 * time.Millisecond

	// scanFactor is how many services that share there must be for each node
	// to compare the nodes' lists of instances; with fewer, the services
	// themselves are read.
	scanFactor = 4
)

// overview tells which services of a datacenter have changed, for those that
// have no query of their own. It is four blocking queries, whatever the number
// of services:
//
//   - the checks that are critical, and those that are in warning: a service's
//     health changes with nothing else;
//   - the names of the services, for their index moves with each change of an
//     instance. Which it was is found by comparing the instances of each node;
//   - the nodes, whose addresses stand in for those of instances.
//
// What changes and changes back between two answers is no news to it, and may
// yet have been seen by who read a service in between; so what was read is
// compared with what the overview knows, too: see badChecks.
type overview struct {
	seats      *seats
	datacenter string
	log        *slog.Logger
	lost       atomic.Int64 // queries without contact
	cancel     context.CancelFunc
	wg         sync.WaitGroup
	scan       chan struct{} // capacity 1: instances may have changed

	// mu protects the fields below.
	mu      sync.Mutex
	nodes   map[string]uint64              // by name, when they last changed
	missing map[string]bool                // what has not been seen yet
	all     []*contact                     // of each query
	lists   map[string]map[checkKey]string // the service of each check that does not pass, by status
	bad     *badChecks                     // made of lists; nil once they have changed
}

// What an overview has to have seen once before it can tell of changes.
const (
	seenNodes     = "nodes"
	seenInstances = "instances"
)

// newOverview begins to watch; seats.mu is held.
func newOverview(ss *seats, datacenter string) *overview {
	log := ss.client.config.Logger.With("consul", ss.client.address)
	if datacenter != "" {
		log = log.With("datacenter", datacenter)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &overview{
		seats: ss, datacenter: datacenter, cancel: cancel, scan: make(chan struct{}, 1),
		log:     log,
		lists:   make(map[string]map[checkKey]string),
		missing: map[string]bool{api.HealthCritical: true, api.HealthWarning: true, seenNodes: true, seenInstances: true},
	}
	for _, status := range []string{api.HealthCritical, api.HealthWarning} {
		o.wg.Go(func() { o.watchChecks(ctx, status) })
	}
	o.wg.Go(func() { o.watchNames(ctx) })
	o.wg.Go(func() { o.watchNodes(ctx) })
	o.wg.Go(func() { o.watchInstances(ctx) })
	return o
}

// end ends the overview and returns when nothing of it runs any more.
func (o *overview) end() {
	o.cancel()
	o.wg.Wait()
}

// follow runs one of the queries until ctx ends.
func follow[T any](ctx context.Context, o *overview, q question[T]) {
	q.doubt = func(T) bool { return false } // nothing is taken away by what it says
	q.kept = func() int { return o.seats.sharing(o.datacenter) }
	c := &contact{log: o.log, lost: &o.lost}
	o.mu.Lock()
	o.all = append(o.all, c)
	o.mu.Unlock()
	w := &watch[T]{
		client:   o.seats.client,
		turns:    always{},
		metrics:  o.seats.asked,
		contact:  c,
		bucket:   bucket{interval: overviewInterval, burst: overviewBurst},
		question: q,
	}
	_ = w.loop(ctx) // its error is ctx's
}

// trouble returns why some of the queries are not answered, and since when;
// nothing while all are.
func (o *overview) trouble() (why string, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.all {
		if why, since = c.trouble(); why != "" {
			return why, since
		}
	}
	return "", time.Time{}
}

// silent reports whether none of the queries is answered.
func (o *overview) silent() bool { return o.lost.Load() == overviewConns }

// mark has services read anew that the overview's news may concern.
func (o *overview) mark(broken bool, match func(*seat) bool) {
	o.seats.mark(o.datacenter, broken, match)
}

func everyone(*seat) bool { return true }

// unseen reports whether something has not been seen yet.
func (o *overview) unseen(what string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.missing[what]
}

// seen notes that something has been seen for the first time. Once all has,
// every service is read: what changed before that may have been missed.
func (o *overview) seen(what string) {
	o.mu.Lock()
	complete := o.missing[what] && len(o.missing) == 1
	delete(o.missing, what)
	o.mu.Unlock()
	if complete {
		o.mark(false, everyone)
	}
}

// watchChecks follows the checks of one status.
func (o *overview) watchChecks(ctx context.Context, status string) {
	var last map[checkKey]string // the service of each, empty for a node's
	follow(ctx, o, question[map[checkKey]string]{
		what: "the checks that are " + status,
		ask: func(consul *api.Client, options *api.QueryOptions) (map[checkKey]string, *api.QueryMeta, error) {
			options.Datacenter = o.datacenter
			checks, meta, err := consul.Health().State(status, options)
			if err != nil {
				return nil, nil, err
			}
			found := make(map[checkKey]string, len(checks))
			for _, c := range checks {
				if c == nil { // as JSON may say
					continue
				}
				found[checkKey{c.Node, c.CheckID, c.ServiceID}] = c.ServiceName
			}
			return found, meta, nil
		},
		accept: func(found map[checkKey]string, _ *api.QueryMeta, broken bool) bool {
			o.list(status, found)
			if last == nil {
				last = found
				o.seen(status)
				return true
			}
			services, nodes := checkChanges(last, found)
			last = found
			if broken {
				o.mark(true, everyone)
			} else if len(services)+len(nodes) > 0 {
				o.mark(false, concerned(services, nodes))
			}
			return broken || len(services)+len(nodes) > 0
		},
	})
}

// list takes note of the checks of one status; found is not modified any more.
func (o *overview) list(status string, found map[checkKey]string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lists[status], o.bad = found, nil
}

// checks returns the checks that do not pass, nil as long as not all has been
// seen or while some of the queries are not answered.
func (o *overview) checks() *badChecks {
	if o.lost.Load() > 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.missing) > 0 {
		return nil
	}
	if o.bad == nil {
		o.bad = newBadChecks(o.lists)
	}
	return o.bad
}

// checkChanges returns the services, in lower case, and the nodes whose checks
// are in one of the lists and not in the other.
func checkChanges(last, next map[checkKey]string) (services, nodes map[string]bool) {
	services, nodes = make(map[string]bool), make(map[string]bool)
	collect := func(from, other map[checkKey]string) {
		for key, service := range from {
			if was, there := other[key]; there && was == service {
				continue
			}
			if service == "" {
				nodes[key.node] = true
			} else {
				services[strings.ToLower(service)] = true
			}
		}
	}
	collect(last, next)
	collect(next, last)
	return services, nodes
}

// concerned matches seats of services, or with instances on nodes.
func concerned(services, nodes map[string]bool) func(*seat) bool {
	return func(s *seat) bool {
		if services[s.service] {
			return true
		}
		for n := range nodes {
			if s.seen.nodes[n] {
				return true
			}
		}
		return false
	}
}

// watchNames follows the index of the list of services.
func (o *overview) watchNames(ctx context.Context) {
	var last uint64
	follow(ctx, o, question[struct{}]{
		what: "the catalogue's services",
		ask: func(consul *api.Client, options *api.QueryOptions) (struct{}, *api.QueryMeta, error) {
			options.Datacenter = o.datacenter
			var ignored map[string]ignored
			meta, err := consul.Raw().Query("/v1/catalog/services", &ignored, options)
			return struct{}{}, meta, err
		},
		accept: func(_ struct{}, meta *api.QueryMeta, broken bool) bool {
			if meta.LastIndex == last && !broken {
				return false
			}
			last = meta.LastIndex
			if broken {
				o.mark(true, everyone)
			}
			o.compare()
			return true
		},
	})
}

// ignored is JSON that nobody needs.
type ignored struct{}

// UnmarshalJSON takes anything.
func (*ignored) UnmarshalJSON([]byte) error { return nil }

// watchNodes follows the nodes.
func (o *overview) watchNodes(ctx context.Context) {
	follow(ctx, o, question[map[string]uint64]{
		what: "the catalogue's nodes",
		ask: func(consul *api.Client, options *api.QueryOptions) (map[string]uint64, *api.QueryMeta, error) {
			options.Datacenter = o.datacenter
			var list []struct {
				Node        string
				ModifyIndex uint64
			}
			meta, err := consul.Raw().Query("/v1/catalog/nodes", &list, options)
			nodes := make(map[string]uint64, len(list))
			for _, n := range list {
				nodes[n.Node] = n.ModifyIndex
			}
			return nodes, meta, err
		},
		accept: func(nodes map[string]uint64, _ *api.QueryMeta, _ bool) bool {
			o.mu.Lock()
			last := o.nodes
			o.nodes = nodes
			o.mu.Unlock()
			changed := make(map[string]bool)
			fewer := len(last) > len(nodes)
			for n, index := range nodes {
				if was, there := last[n]; !there || was != index {
					changed[n] = true
				}
			}
			if len(changed) == 0 && !fewer {
				return false
			}
			o.mark(false, concerned(nil, changed))
			o.seen(seenNodes)
			o.compare()
			return true
		},
	})
}

// compare has the instances compared.
func (o *overview) compare() {
	select {
	case o.scan <- struct{}{}:
	default:
	}
}

// instance is what is to be known of one to tell whether it has changed.
type instance struct {
	service string
	index   uint64 // when it last changed
}

// watchInstances compares the instances of each node, or has everything read,
// each time one may have changed.
func (o *overview) watchInstances(ctx context.Context) {
	last := make(map[string]map[string]instance) // by node and ID
	known := false                               // last is what there was
	pause := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.scan:
		}
		if !sleep(ctx, pause) {
			return
		}
		began := time.Now()
		o.mu.Lock()
		nodes := o.nodes
		o.mu.Unlock()
		var next map[string]map[string]instance
		if nodes != nil && len(nodes)*scanFactor <= o.seats.sharing(o.datacenter) {
			next = o.instances(ctx, nodes)
		}
		first := nodes != nil && o.unseen(seenInstances)
		switch {
		case first:
			o.seen(seenInstances)
		case next == nil || !known:
			o.mark(false, everyone)
		default:
			if services := instanceChanges(last, next); len(services) > 0 {
				o.mark(false, concerned(services, nil))
			}
		}
		last, known = next, next != nil
		// However much changes, what is asked of Consul for this is bounded.
		took := time.Since(began)
		pause = max(scanInterval-took, took/2)
	}
}

// instances returns the instances of each node, nil if they cannot be had.
func (o *overview) instances(ctx context.Context, nodes map[string]uint64) map[string]map[string]instance {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards all and failed
	all, failed := make(map[string]map[string]instance, len(nodes)), false
	todo := make(chan string)
	for range min(scanConns, len(nodes)) {
		wg.Go(func() {
			for node := range todo {
				list, err := o.instancesOf(ctx, node)
				mu.Lock()
				all[node], failed = list, failed || err != nil
				mu.Unlock()
			}
		})
	}
	for node := range nodes {
		todo <- node
	}
	close(todo)
	wg.Wait()
	if failed {
		return nil
	}
	return all
}

// instancesOf asks for the instances of a node: of the leader, for another
// server may not know yet what it is that has changed.
func (o *overview) instancesOf(ctx context.Context, node string) (map[string]instance, error) {
	c := o.seats.client
	ctx, cancel := context.WithTimeout(ctx, c.readTimeout)
	defer cancel()
	var answer struct {
		Services []struct {
			ID, Service string
			ModifyIndex uint64
		}
	}
	options := &api.QueryOptions{Datacenter: o.datacenter, Token: c.token()}
	_, err := c.order(0, time.Now())[0].consul.Raw().Query("/v1/catalog/node-services/"+url.PathEscape(node), &answer, options.WithContext(ctx))
	if err != nil {
		o.seats.asked.errors.Inc()
		return nil, err
	}
	o.seats.asked.unchanged.Inc()
	found := make(map[string]instance, len(answer.Services))
	for _, s := range answer.Services {
		found[s.ID] = instance{strings.ToLower(s.Service), s.ModifyIndex}
	}
	return found, nil
}

// instanceChanges returns the services, in lower case, of which an instance is
// new, gone, or another than it was.
func instanceChanges(last, next map[string]map[string]instance) map[string]bool {
	services := make(map[string]bool)
	collect := func(from, other map[string]map[string]instance) {
		for node, list := range from {
			for id, i := range list {
				if was, there := other[node][id]; !there || was != i {
					services[i.service] = true
				}
			}
		}
	}
	collect(last, next)
	collect(next, last)
	return services
}
