package consul

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/hashicorp/consul/api"

	"sluice/discovery"
)

// Query says which instances in Consul's catalogue make up a service.
type Query struct {
	// Service is the name in Consul.
	Service string
	// Tag, if not empty, leaves out the instances that do not carry it.
	Tag string
	// Port, if not empty, is the name of the port that connections go to, of
	// instances with several (Ports), or its number; it goes before what the
	// metadata of an instance say. Empty means their default port.
	Port string
	// Datacenter is whose catalogue is asked. Empty means Config's.
	Datacenter string
	// Up reports whether sluice's own check of an address passes. It decides
	// who stays when Consul's list empties; nil means that nobody does. It
	// must be quick and safe for concurrent use.
	Up func(address string) bool
	// Traffic returns a number that changes while the service has traffic, such
	// as a count of its bytes. If there are more services than connections, it
	// decides who has a query of its own; nil means that there is no traffic.
	// It must be quick and safe for concurrent use.
	Traffic func() uint64
	// Metrics takes the service's metrics. Nil means Config's.
	Metrics *metrics.Set
}

// Service is the source of one service. It may be watched more than once and
// from several goroutines; its metrics, and those of other sources with the
// same name, are then shared, and its report is that of the last watch to
// begin.
type Service struct {
	client  *Client
	query   Query
	log     *slog.Logger
	metrics *serviceMetrics
	current atomic.Pointer[serviceWatch]
}

var _ discovery.Source = (*Service)(nil)

// Service returns the source of the members that q describes, whatever their
// health. It does not connect.
func (c *Client) Service(q Query) *Service {
	if q.Up == nil {
		q.Up = func(string) bool { return false }
	}
	if q.Traffic == nil {
		q.Traffic = func() uint64 { return 0 }
	}
	return &Service{
		client:  c,
		query:   q,
		log:     c.config.Logger.With("service", q.Service, "consul", c.address),
		metrics: newServiceMetrics(cmp.Or(q.Metrics, c.config.Metrics), q.Service),
	}
}

// Reports tells of lost contact and of members that are kept.
func (s *Service) Reports() []discovery.Report {
	r := discovery.Report{Source: "consul " + s.client.address}
	if w := s.current.Load(); w != nil {
		if r.Trouble, r.Since = w.contact.trouble(); r.Trouble == "" {
			r.Trouble, r.Since = w.seat.trouble()
		}
		switch kept := w.kept.Load(); {
		case r.Trouble != "":
			r.Trouble = "lost contact: " + r.Trouble
			r.Kept = int(w.reportedN.Load())
		case w.hidden.Load() != nil:
			r.Trouble, r.Since = hiddenWords, *w.hidden.Load()
			if kept != nil {
				r.Kept = kept.n
			}
		case kept != nil && kept.n > 0:
			r.Trouble = "Consul lost these members all at once, and they still pass sluice's own check"
			r.Kept, r.Since = kept.n, kept.since
		}
	}
	return []discovery.Report{r}
}

// serviceWatch is one run of Watch; one goroutine owns it but for what is
// atomic.
type serviceWatch struct {
	*Service
	update  func([]discovery.Member)
	contact *contact
	keeper  keeper
	seat    *seat

	hidden   atomic.Pointer[time.Time] // since when ACLs hide some of the instances; nil: they do not
	listed   []discovery.Member        // by Consul, last
	last     []discovery.Member        // reported last
	reported bool                      // whether last has been reported
	bad      map[badEntry]bool         // of the last answer

	reportedN atomic.Int64 // len(last)
	kept      atomic.Pointer[keeping]
}

// keeping is how many members are kept, and since when any is.
type keeping struct {
	n     int
	since time.Time
}

// answer is a usable answer to a query.
type answer struct {
	members []discovery.Member
	bad     []badEntry
	others  []string // IDs of instances without the tag
}

// leftOut returns the IDs of those that are listed but no members.
func (a answer) leftOut() []string {
	ids := slices.Clone(a.others)
	for _, b := range a.bad {
		if !b.used {
			ids = append(ids, b.id)
		}
	}
	return ids
}

// Watch follows the service until ctx ends; see discovery.Source.
func (s *Service) Watch(ctx context.Context, update func([]discovery.Member)) error {
	w := &serviceWatch{
		Service: s,
		update:  update,
		contact: &contact{log: s.log},
		keeper:  keeper{limit: s.client.config.Keep, up: s.query.Up},
	}
	w.seat = &seat{
		service:    strings.ToLower(s.query.Service),
		datacenter: cmp.Or(s.query.Datacenter, s.client.config.Datacenter),
		traffic:    s.query.Traffic,
		stands:     w.stands,
	}
	s.current.Store(w)
	defer s.metrics.kept.Set(0)
	run := &watch[answer]{
		client:  s.client,
		turns:   w.seat,
		metrics: &s.metrics.queryMetrics,
		contact: w.contact,
		bucket:  bucket{interval: rateInterval, burst: rateBurst},
		question: question[answer]{
			what:   "service " + quoted(s.query.Service),
			ask:    w.ask,
			doubt:  func(a answer) bool { return w.newlyListed(a.members) && doubtful(w.listed, a.members) },
			accept: w.accept,
			kept:   func() int { return len(w.last) },
		},
	}
	return run.run(ctx, w.seat)
}

// stands takes note, while others are asked whether there is news of the
// service, whether they answer.
func (w *serviceWatch) stands(ok bool) {
	if why, _ := w.contact.trouble(); why != "" {
		ok = false
	}
	if !ok {
		w.metrics.connected.Set(0)
	} else if w.metrics.lastSuccess.Get() > 0 {
		w.metrics.connected.Set(1)
		w.metrics.lastSuccess.Set(float64(time.Now().UnixMilli()) / 1000)
	}
}

func (w *serviceWatch) ask(consul *api.Client, options *api.QueryOptions) (answer, *api.QueryMeta, error) {
	options.Datacenter = w.query.Datacenter
	entries, meta, err := consul.Health().Service(w.query.Service, "", false, options)
	if err == nil && len(entries) == 0 && meta.ResultsFilteredByACLs {
		err = errHidden
	}
	if err != nil {
		return answer{}, nil, err
	}
	w.seat.saw(checksOf(entries))
	members, bad, others := membersOf(entries, w.query.Tag, w.query.Port)
	return answer{members, bad, others}, meta, nil
}

// accept adds who is kept to those that are listed, and reports the list if
// it is news.
func (w *serviceWatch) accept(a answer, meta *api.QueryMeta, broken bool) bool {
	w.skip(a.bad)
	if w.newlyListed(a.members) && len(a.members) == 0 && meta.DefaultACLPolicy == "deny" {
		// From who has no token, Consul hides entries without saying so.
		w.log.Warn("Consul lists no members of the service, and denies by default: if there are some, check the ACL token")
	}
	now := time.Now()
	w.tellHidden(now, meta.ResultsFilteredByACLs)
	leftOut := a.leftOut()
	if w.client.config.Keep > 0 && !broken && doubtful(w.listed, a.members) && missing(w.listed, a.members) > 1 {
		leftOut = append(leftOut, w.left(a.members)...)
	}
	members, kept := w.keeper.next(now, w.listed, a.members, leftOut, broken, meta.ResultsFilteredByACLs)
	w.listed = a.members
	w.tellKept(now, kept, len(a.members))
	members = append(slices.Clone(members), w.withdraw(members, a.others)...)
	if w.reported && slices.EqualFunc(members, w.last, discovery.Member.Equal) {
		return false
	}
	w.last, w.reported = members, true
	staying, _ := discovery.Split(members)
	w.reportedN.Store(int64(len(staying)))
	w.update(slices.Clone(members))
	return true
}

// withdraw returns those of the members reported last that are still registered
// and have lost the tag since, or had done so before.
func (w *serviceWatch) withdraw(members []discovery.Member, others []string) (withdrawn []discovery.Member) {
	for _, m := range w.last {
		if !slices.Contains(others, m.ID) || slices.ContainsFunc(members, func(x discovery.Member) bool { return x.ID == m.ID }) {
			continue
		}
		m.Withdrawn = true
		withdrawn = append(withdrawn, m)
	}
	return withdrawn
}

// left returns the IDs of those of last that are not listed any more because
// their nodes have left the catalogue, as after consul leave. A catalogue that
// was lost has lost contact, too, and is not asked. Nobody has left if it cannot
// be told.
func (w *serviceWatch) left(listed []discovery.Member) (ids []string) {
	ctx, cancel := context.WithTimeout(context.Background(), w.client.readTimeout)
	defer cancel()
	options := &api.QueryOptions{Datacenter: w.query.Datacenter, Token: w.client.token()}
	nodes, _, err := w.client.order(0, time.Now())[0].consul.Catalog().Nodes(options.WithContext(ctx))
	if err != nil || len(nodes) == 0 {
		return nil
	}
	there := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		if n != nil { // as JSON may say
			there[n.Node] = true
		}
	}
	for _, m := range w.listed {
		if node, _, _ := strings.Cut(m.ID, "/"); !there[node] && !slices.ContainsFunc(listed, func(x discovery.Member) bool { return x.ID == m.ID }) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// hiddenWords says what ACLs do to an answer that is not empty, and how to end
// it.
const hiddenWords = "ACLs hide some of the service's instances from sluice: the token needs node:read for their nodes, and service:read for the service"

// tellHidden says once that ACLs hide some of the instances.
func (w *serviceWatch) tellHidden(now time.Time, hidden bool) {
	switch was := w.hidden.Load() != nil; {
	case hidden && !was:
		w.hidden.Store(&now)
		w.log.Warn(hiddenWords + "; those that it knew stay in use while they pass sluice's own check")
	case !hidden && was:
		w.hidden.Store(nil)
		w.log.Info("ACLs hide no instances of the service any more")
	}
}

// tellKept publishes how many members are kept.
func (w *serviceWatch) tellKept(now time.Time, kept, listed int) {
	before := w.kept.Load()
	if before == nil {
		before = &keeping{}
	}
	if kept == before.n {
		return
	}
	w.metrics.kept.Set(float64(kept))
	k := &keeping{n: kept, since: before.since}
	if before.n == 0 {
		k.since = now
	}
	w.kept.Store(k)
	switch {
	case before.n == 0:
		w.log.Warn("Consul lost members all at once; those that pass sluice's own check stay in use",
			"kept_members", kept, "listed_members", listed, "limit", w.client.config.Keep.String())
	case kept == 0:
		w.log.Info("no members are kept any more that Consul does not list",
			"listed_members", listed, "kept_for", now.Sub(before.since).Round(time.Millisecond).String())
	default:
		w.log.Info("the number of members kept has changed", "kept_members", kept, "listed_members", listed)
	}
}

// newlyListed reports whether members differ from those listed last.
func (w *serviceWatch) newlyListed(members []discovery.Member) bool {
	return !w.reported || !slices.EqualFunc(members, w.listed, discovery.Member.Equal)
}

// skip counts the bad entries of an answer and logs those that the answer
// before did not have.
func (w *serviceWatch) skip(bad []badEntry) {
	w.metrics.skipped.Add(len(bad))
	known := w.bad
	w.bad = make(map[badEntry]bool, len(bad))
	for _, b := range bad {
		if b.kind != "" { // one of them speaks for all
			n := 0
			for _, other := range bad {
				if other.kind == b.kind {
					n++
				}
			}
			b = badEntry{kind: b.kind}
			if !known[b] && !w.bad[b] {
				w.log.Warn("left out entries of the service that are no servers", "kind", b.kind, "entries", n)
			}
		}
		first := !w.bad[b]
		w.bad[b] = true
		switch {
		case known[b], b.kind != "", !first:
		case b.used:
			w.log.Warn("ignored a bad setting of an entry of the service", "entry", b.id, "reason", b.reason)
		default:
			w.log.Warn("skipped a bad entry of the service", "entry", b.id, "reason", b.reason)
		}
	}
}
