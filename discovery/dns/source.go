package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/miekg/dns"

	"sluice/discovery"
)

const (
	defaultMinTTL = time.Second
	defaultMaxTTL = time.Minute
	defaultKeep   = time.Minute

	minBackoff = 500 * time.Millisecond
	maxBackoff = 15 * time.Second

	resolvConf = "/etc/resolv.conf"
)

// Config says what is resolved and how.
type Config struct {
	// Service is the service's name, for logs and metrics.
	Service string
	// Name is what is resolved: HOST:PORT for addresses, or _SERVICE._PROTO.NAME
	// for SRV records. See ParseName.
	Name string
	// Servers are asked, host:port, one after the other. Empty means those of
	// /etc/resolv.conf, whose search list then counts too.
	Servers []string
	// MinTTL and MaxTTL bound the time from one resolution to the next. 0
	// means 1 s and 1 min.
	MinTTL, MaxTTL time.Duration
	// Keep is how long an answer that says that there is nothing must last
	// before it is believed, and how long members stay that doubtful answers
	// leave out; see keeper. 0 means 1 min, negative at once.
	Keep time.Duration
	// Up and Down report whether sluice's own check of an address passes, or
	// fails. They decide who stays that is left out of an answer, and whose turn
	// it is among SRV priorities; nil means that nobody's does. They must be
	// quick and safe for concurrent use.
	Up, Down func(address string) bool
	// Logger takes one line when resolving begins to fail and one when it is
	// well again. Nil means that nothing is logged.
	Logger *slog.Logger
	// Metrics takes the counters of the service. Nil means that they are kept
	// nowhere.
	Metrics *metrics.Set
}

// Source resolves one name. It is watched once.
type Source struct {
	config   Config
	host     string
	port     uint16 // 0: SRV
	resolver resolver
	metrics  *sourceMetrics

	// What follows belongs to the watch.
	good     map[uint16][]netip.Addr // the last good addresses of the host, by type
	srv      []dns.RR                // the last good SRV records
	targets  map[string]*found       // the last good addresses of SRV targets, by name
	keeper   keeper
	current  []member  // by the last good records and the keeper
	empty    time.Time // when answers began to say that there is nothing
	failures int       // in a row
	last     []discovery.Member
	reported bool

	// mu protects the fields below.
	mu      sync.Mutex
	trouble string
	since   time.Time
	kept    int
}

// found are addresses, by the type of their records; whole and turns are those
// of records.
type found struct {
	addrs        map[uint16][]netip.Addr
	alias        string // what the name stands for, if it has no addresses
	whole, turns bool
}

var _ discovery.Source = (*Source)(nil)

// ParseName takes apart what Config.Name says; port is 0 for SRV records.
func ParseName(name string) (host string, port uint16, err error) {
	if strings.HasPrefix(name, "_") && !strings.Contains(name, ":") {
		host = name
	} else {
		var text string
		if host, text, err = net.SplitHostPort(name); err != nil {
			return "", 0, fmt.Errorf("%q is neither HOST:PORT nor _SERVICE._PROTO.NAME", name)
		}
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("port %q of %q is not a number from 1 to 65535", text, name)
		}
		port = uint16(n)
	}
	if _, ok := dns.IsDomainName(host); !ok || host == "" || strings.ContainsAny(host, " \t/=@,") {
		return "", 0, fmt.Errorf("%q of %q is not a name that can be resolved", host, name)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", 0, fmt.Errorf("%q is an address, which needs no resolving", host)
	}
	return host, port, nil
}

// New returns a source after checking config. It does not resolve anything.
func New(config Config) (*Source, error) {
	s := &Source{good: make(map[uint16][]netip.Addr), targets: make(map[string]*found)}
	var err error
	if s.host, s.port, err = ParseName(config.Name); err != nil {
		return nil, err
	}
	if config.MinTTL == 0 {
		config.MinTTL = defaultMinTTL
	}
	if config.MaxTTL == 0 {
		config.MaxTTL = max(defaultMaxTTL, config.MinTTL)
	}
	if config.Keep == 0 {
		config.Keep = defaultKeep
	}
	nobody := func(string) bool { return false }
	if config.Up == nil {
		config.Up = nobody
	}
	if config.Down == nil {
		config.Down = nobody
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Metrics == nil {
		config.Metrics = metrics.NewSet()
	}
	config.Logger = config.Logger.With("service", config.Service, "dns", config.Name)
	s.config = config
	s.keeper.keep = max(0, config.Keep)
	s.resolver.servers, s.resolver.path, s.resolver.read = config.Servers, resolvConf, dns.ClientConfigFromFile
	s.metrics = newSourceMetrics(config.Metrics, config.Service)
	return s, nil
}

// Reports tells of failures to resolve the name.
func (s *Source) Reports() []discovery.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []discovery.Report{{Source: "dns " + s.config.Name, Trouble: s.trouble, Since: s.since, Kept: s.kept}}
}

// Watch resolves the name again and again until ctx ends; see
// discovery.Source.
func (s *Source) Watch(ctx context.Context, update func([]discovery.Member)) error {
	for {
		ttl, err := s.resolve(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := s.wait(ttl)
		if err != nil {
			s.failures++
			s.metrics.errors.Inc()
			s.tell(unresolved, strings.ReplaceAll(err.Error(), "\n", "; "), len(s.last))
			// Even: not all processes at the same moment.
			wait = min(maxBackoff, minBackoff<<min(s.failures, 6))
			wait = wait/2 + rand.N(wait/2)
		} else {
			s.failures = 0
		}
		if err == nil || s.hasRecords() {
			s.report(update, err == nil)
		}
		if !s.waitFor(ctx, wait) {
			return ctx.Err()
		}
	}
}

// waitFor waits for d, or until ctx ends and then reports false.
func (s *Source) waitFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func equal(a, b []discovery.Member) bool { return slices.EqualFunc(a, b, discovery.Member.Equal) }

// hasRecords reports whether there is anything that was good once.
func (s *Source) hasRecords() bool { return len(s.current) > 0 }

// report passes the members on if they are news, or if nothing was passed on
// yet.
func (s *Source) report(update func([]discovery.Member), answered bool) {
	members := s.members()
	news := !s.reported || !equal(members, s.last)
	if answered && s.empty.IsZero() {
		if news {
			s.metrics.changed.Inc()
		} else {
			s.metrics.unchanged.Inc()
		}
	}
	if !news {
		return
	}
	s.last, s.reported = members, true
	update(slices.Clone(members))
}

// members returns who is a member now.
func (s *Source) members() []discovery.Member { return ranked(s.current) }

// wait returns how long records with a time to live hold.
func (s *Source) wait(ttl time.Duration) time.Duration {
	return min(max(ttl, s.config.MinTTL), s.config.MaxTTL)
}

// judge decides who is a member after an answer that had records, and takes
// note of what is doubtful about it. err is what was missing of it.
func (s *Source) judge(a answer, err error) {
	now := time.Now()
	var kept int
	s.current, kept = s.keeper.next(now, a, standing{up: s.config.Up, down: s.config.Down})
	s.metrics.kept.Set(float64(kept))
	s.metrics.rotating.Set(0)
	switch {
	case s.keeper.rotating:
		s.metrics.rotating.Set(1)
		s.tell(doubtful, fmt.Sprintf("the answers leave members out, others each time (a server that cuts or rotates them): members are those of all answers of %v", s.keeper.window(a.ttl)), kept)
	case s.keeper.losing():
		s.tell(doubtful, fmt.Sprintf("the answers list half of the members or less, all at once; those that pass their check stay for %v", s.config.Keep), kept)
	case err == nil:
		s.well(kept)
	}
}

// resolve asks once for everything, and takes over what is good. It returns
// how long that holds.
func (s *Source) resolve(ctx context.Context) (ttl time.Duration, err error) {
	if s.port != 0 {
		next, life, err := s.addresses(ctx, s.host, s.good)
		if err != nil && len(next.addrs) == 0 {
			return life, err
		}
		if err == nil && next.count() == 0 {
			s.nothing(next.alias)
			return s.config.MinTTL, nil
		}
		s.something()
		s.good = next.addrs
		addrs := append(slices.Clone(s.good[dns.TypeA]), s.good[dns.TypeAAAA]...)
		s.judge(answer{members: membersAt(addrs, s.port), whole: next.whole, turns: next.turns, ttl: s.wait(life)}, err)
		return life, err
	}
	return s.resolveSRV(ctx)
}

func (f *found) count() (n int) {
	for _, addrs := range f.addrs {
		n += len(addrs)
	}
	return n
}

// addresses resolves a host's addresses. Of a family for which there is no
// answer those in last stay, and the error says so; next is empty if there is
// none for either.
func (s *Source) addresses(ctx context.Context, host string, last map[uint16][]netip.Addr) (next found, ttl time.Duration, err error) {
	ttl = -1
	next = found{addrs: make(map[uint16][]netip.Addr), whole: true}
	type result struct {
		qtype uint16
		records
		err error
	}
	results := make(chan result, 2)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		go func() {
			r, err := s.resolver.lookup(ctx, host, qtype, func(list []dns.RR) bool { return lacksAddresses(list, last[qtype]) })
			results <- result{qtype, r, err}
		}()
	}
	failed := 0
	for range 2 {
		r := <-results
		if r.err != nil {
			failed++
			err = errors.Join(err, r.err)
			next.addrs[r.qtype] = last[r.qtype]
			continue
		}
		next.addrs[r.qtype] = addressesOf(r.list)
		if r.alias != "" {
			next.alias = r.alias
		}
		if len(r.list) > 0 {
			ttl = shorter(ttl, r.ttl)
			next.whole, next.turns = next.whole && r.whole, next.turns || r.turns
		}
	}
	if failed == 2 {
		next = found{}
	}
	return next, ttl, err
}

// lacksAddresses reports whether records lack one of the addresses.
func lacksAddresses(list []dns.RR, addrs []netip.Addr) bool {
	here := addressesOf(list)
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !slices.Contains(here, a) })
}

// resolveSRV asks for SRV records and for the addresses of their targets.
func (s *Source) resolveSRV(ctx context.Context) (ttl time.Duration, err error) {
	r, err := s.resolver.lookup(ctx, s.host, dns.TypeSRV, func(list []dns.RR) bool { return len(lacking(list, s.srv)) > 0 })
	if err != nil {
		return 0, err
	}
	whole := r.whole
	ttl = r.ttl
	var servers []server
	for _, rr := range r.list {
		srv := rr.(*dns.SRV)
		if srv.Target == "." || srv.Port == 0 {
			continue // "decidedly not available" (RFC 2782), or not an address
		}
		servers = append(servers, server{target: strings.TrimSuffix(strings.ToLower(srv.Target), "."), port: srv.Port, priority: srv.Priority, weight: srv.Weight})
	}
	targets := make(map[string]*found)
	var problems []error
	for i := range servers {
		name := servers[i].target
		f := targets[name]
		if f == nil {
			var life time.Duration
			f, life, err = s.target(ctx, name, r.more)
			if err != nil {
				problems = append(problems, err)
			}
			if life >= 0 {
				ttl = shorter(ttl, life)
			}
			targets[name] = f
			whole = whole && f.whole
		}
		servers[i].addrs = append(slices.Clone(f.addrs[dns.TypeA]), f.addrs[dns.TypeAAAA]...)
	}
	servers = slices.DeleteFunc(servers, func(s server) bool { return len(s.addrs) == 0 })
	if len(problems) > 0 && len(servers) == 0 {
		return 0, errors.Join(problems...)
	}
	if len(servers) == 0 {
		s.nothing(r.alias)
		return s.config.MinTTL, nil
	}
	s.something()
	s.srv, s.targets = r.list, targets
	err = errors.Join(problems...)
	s.judge(answer{members: membersOf(servers), whole: whole, turns: r.turns, ttl: s.wait(ttl)}, err)
	return ttl, err
}

// target returns the addresses of an SRV target: those that came along, or
// those that are resolved, or the last good ones.
func (s *Source) target(ctx context.Context, name string, more []dns.RR) (*found, time.Duration, error) {
	var along []dns.RR
	ttl := time.Duration(-1)
	for _, rr := range more {
		h := rr.Header()
		if (h.Rrtype == dns.TypeA || h.Rrtype == dns.TypeAAAA) && strings.EqualFold(strings.TrimSuffix(h.Name, "."), name) {
			along = append(along, rr)
			ttl = shorter(ttl, time.Duration(h.Ttl)*time.Second)
		}
	}
	if len(along) > 0 {
		return &found{addrs: map[uint16][]netip.Addr{dns.TypeA: addressesOf(along)}, whole: true}, ttl, nil
	}
	last := s.targets[name]
	if last == nil {
		last = &found{}
	}
	next, ttl, err := s.addresses(ctx, name+".", last.addrs)
	if next.addrs == nil {
		return last, ttl, err
	}
	return &next, ttl, err
}

// something takes note of an answer that has records.
func (s *Source) something() {
	s.metrics.succeeded(time.Now())
	s.empty = time.Time{}
}

// nothing takes note of an answer that says that there is nothing, and believes
// it after Keep. alias is what the name stands for, if that is all that there is.
func (s *Source) nothing(alias string) {
	now := time.Now()
	s.metrics.nothing.Inc()
	if s.empty.IsZero() {
		s.empty = now
	}
	if s.hasRecords() && now.Sub(s.empty) < s.config.Keep {
		s.tell(unresolved, "the name has no records any more; the last ones stay for "+s.config.Keep.String(), len(s.last))
		return
	}
	s.current, s.srv, s.good, s.targets = nil, nil, make(map[uint16][]netip.Addr), make(map[string]*found)
	s.keeper.forget()
	if alias != "" {
		s.tell(unresolved, "the name is an alias of "+alias+", and the DNS server gives no records of that: it may not look elsewhere for them; use one that does (--dns-server), or name "+strings.TrimSuffix(alias, ".")+" itself", 0)
		return
	}
	s.tell(unresolved, "the name has no records", 0)
}

// well takes note of a good answer. kept members are in use that it did not
// list.
func (s *Source) well(kept int) {
	s.mu.Lock()
	before := s.trouble
	since := s.since
	s.trouble, s.since, s.kept = "", time.Time{}, kept
	s.mu.Unlock()
	if before != "" {
		s.config.Logger.Info("the name is resolved again", "after", time.Since(since).Round(time.Millisecond).String())
	}
}

// What tell says of trouble.
const (
	unresolved = "cannot resolve the name"
	doubtful   = "the answers for the name are doubtful"
)

// tell takes note of trouble, and logs it when it is new. kept members are in
// use for which no answer vouches.
func (s *Source) tell(what, trouble string, kept int) {
	s.mu.Lock()
	first := s.trouble == ""
	if first {
		s.since = time.Now()
	}
	s.trouble, s.kept = trouble, kept
	s.mu.Unlock()
	if first {
		s.config.Logger.Warn(what, "kept_members", kept, "err", trouble)
	}
}
