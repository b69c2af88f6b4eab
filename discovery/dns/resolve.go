package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// queryTimeout bounds one query to one server.
	queryTimeout = 2 * time.Second
	// udpSize is what fits into a packet that no network cuts (DNS flag day
	// 2020).
	udpSize = 1232
	// attempts is how often each server is asked before giving up.
	attempts = 2
)

// records are the answer to one question. No records and no error mean that
// the servers say that there are none.
type records struct {
	list []dns.RR
	more []dns.RR // what came along, such as the addresses of SRV targets
	ttl  time.Duration
	// alias is what the name stands for, if there is nothing else.
	alias string
	// whole says that they came over TCP, or are too few for a server to have
	// left any out, and turns that they were asked for again, that each answer
	// had some that the other had not, and that some of those came back.
	whole, turns, truncated bool
}

// resolver asks DNS servers. It does not cache. It is safe for concurrent use.
type resolver struct {
	servers []string // host:port; empty: those of path
	path    string   // of resolv.conf
	read    func(path string) (*dns.ClientConfig, error)

	// mu protects the field below.
	mu    sync.Mutex
	noTCP map[string]time.Time // until when a server is not asked over TCP, for it did not answer
}

// lookup asks for the records of a type. A name that does not end with a dot
// is looked for in the search list too, unless servers were given. lacks
// reports whether records that were there before are missing from a list.
func (r *resolver) lookup(ctx context.Context, name string, qtype uint16, lacks func([]dns.RR) bool) (records, error) {
	servers, names := r.servers, []string{dns.Fqdn(name)}
	if len(servers) == 0 {
		// Read each time: whoever manages the network may rewrite it.
		conf, err := r.read(r.path)
		if err != nil {
			return records{}, fmt.Errorf("cannot read %s: %w", r.path, err)
		}
		for _, s := range conf.Servers {
			servers = append(servers, net.JoinHostPort(s, conf.Port))
		}
		names = conf.NameList(name)
	}
	if len(servers) == 0 {
		return records{}, fmt.Errorf("%s names no servers", r.path)
	}
	var found records
	for _, n := range names {
		var err error
		if found, err = r.ask(ctx, servers, n, qtype, lacks); err != nil || len(found.list) > 0 {
			return found, err
		}
	}
	return found, nil
}

// ask asks one server after the other until one answers.
func (r *resolver) ask(ctx context.Context, servers []string, name string, qtype uint16, lacks func([]dns.RR) bool) (records, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(udpSize, false)
	var errs []error
	for range attempts {
		for _, server := range servers {
			found, err := r.exchange(ctx, server, q, lacks)
			if err == nil {
				return found, nil
			}
			if ctx.Err() != nil {
				return records{}, ctx.Err()
			}
			if err = fmt.Errorf("%s: %w", server, err); !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
				errs = append(errs, err)
			}
		}
	}
	return records{}, fmt.Errorf("cannot resolve %s %s: %w", dns.TypeToString[qtype], name, errors.Join(errs...))
}

// exchange asks one server. An answer that lacks records which were there
// before is asked for once more, for some servers give others each time.
func (r *resolver) exchange(ctx context.Context, server string, q *dns.Msg, lacks func([]dns.RR) bool) (records, error) {
	found, err := r.answer(ctx, server, q)
	if err != nil || !lacks(found.list) {
		return found, err
	}
	again, err := r.once(ctx, server, q)
	if err != nil {
		return found, nil
	}
	// Each may lack some of the other's because somebody left meanwhile, and
	// somebody else came. Who takes turns comes back.
	left := lacking(again.list, found.list)
	merged := merge(found, again)
	if merged.turns {
		third, err := r.once(ctx, server, q)
		merged.turns = err == nil && len(lacking(third.list, left)) < len(left)
	}
	return merged, nil
}

// once asks one server over TCP, or else over UDP.
func (r *resolver) once(ctx context.Context, server string, q *dns.Msg) (records, error) {
	found, err := r.overTCP(ctx, server, q)
	if err != nil {
		return r.overUDP(ctx, server, q)
	}
	return found, nil
}

// answer asks one server. Servers cut answers over UDP to what fits and say
// nothing of it, as Consul does by default. So SRV records, and answers that
// are as large as they may be, are asked for over TCP.
func (r *resolver) answer(ctx context.Context, server string, q *dns.Msg) (records, error) {
	srv := q.Question[0].Qtype == dns.TypeSRV
	if srv {
		if found, err := r.overTCP(ctx, server, q); err == nil {
			return found, nil
		}
	}
	found, err := r.overUDP(ctx, server, q)
	if err != nil || found.whole {
		found.whole = !srv
		return found, err
	}
	tcp, tcpErr := r.overTCP(ctx, server, q)
	switch {
	case tcpErr == nil:
		return tcp, nil
	case found.truncated:
		return records{}, fmt.Errorf("the answer is truncated, and TCP brings none: %w", tcpErr)
	}
	return found, nil
}

// overUDP asks a server over UDP.
func (r *resolver) overUDP(ctx context.Context, server string, q *dns.Msg) (records, error) {
	a, err := send(ctx, "udp", server, q)
	if err != nil {
		return records{}, err
	}
	found, err := read(q, a)
	found.truncated = a.Truncated
	found.whole = !a.Truncated && !full(a)
	return found, err
}

// tcpPause is for how long a server is not asked over TCP that did not answer.
const tcpPause = time.Minute

// errNoTCP says that a server is not asked over TCP for now.
var errNoTCP = errors.New("it does not answer over TCP")

// overTCP asks a server over TCP.
func (r *resolver) overTCP(ctx context.Context, server string, q *dns.Msg) (records, error) {
	r.mu.Lock()
	until := r.noTCP[server]
	r.mu.Unlock()
	if time.Now().Before(until) {
		return records{}, errNoTCP
	}
	a, err := send(ctx, "tcp", server, q)
	if err != nil {
		if ctx.Err() == nil {
			r.mu.Lock()
			if r.noTCP == nil {
				r.noTCP = make(map[string]time.Time)
			}
			r.noTCP[server] = time.Now().Add(tcpPause)
			r.mu.Unlock()
		}
		return records{}, err
	}
	found, err := read(q, a)
	if err == nil && a.Truncated {
		err = errors.New("the answer is truncated over TCP, too")
	}
	found.whole = true
	return found, err
}

// send sends q to a server and returns its answer.
func send(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	c := &dns.Client{Net: network, Timeout: queryTimeout, UDPSize: udpSize}
	a, _, err := c.ExchangeContext(ctx, q, server)
	return a, err
}

// full reports whether one record more might not have fitted into an answer
// over UDP, or the server might not send more: without EDNS Consul sends three.
func full(a *dns.Msg) bool {
	limit := udpSize
	if a.IsEdns0() == nil {
		if limit = dns.MinMsgSize; len(a.Answer) >= 3 {
			return true
		}
	}
	if len(a.Answer) == 0 {
		return false
	}
	a.Compress = true
	size := a.Len()
	return size+size/len(a.Answer) >= limit
}

// read returns what an answer to q holds. One whose question is not that of q is
// none (RFC 5452, section 9.1): servers and what is in between send such, late
// or broken. Those that refuse often send no question at all.
func read(q, a *dns.Msg) (records, error) {
	switch {
	case !a.Response:
		return records{}, errors.New("what came is no answer")
	case len(a.Question) == 0 && a.Rcode != dns.RcodeSuccess && a.Rcode != dns.RcodeNameError:
		return records{}, fmt.Errorf("the server says %s", dns.RcodeToString[a.Rcode])
	case len(a.Question) != 1 || !sameQuestion(q.Question[0], a.Question[0]):
		return records{}, errors.New("the answer is to another question")
	case a.Rcode == dns.RcodeNameError:
		return records{}, nil
	case a.Rcode != dns.RcodeSuccess:
		return records{}, fmt.Errorf("the server says %s", dns.RcodeToString[a.Rcode])
	}
	found := records{more: a.Extra, ttl: -1}
	qtype := q.Question[0].Qtype
	for _, rr := range a.Answer {
		h := rr.Header()
		if h.Rrtype == qtype || h.Rrtype == dns.TypeCNAME {
			// An alias that expires makes what it leads to expire.
			found.ttl = shorter(found.ttl, time.Duration(h.Ttl)*time.Second)
		}
		if h.Rrtype == qtype {
			found.list = append(found.list, rr)
		}
		if c, ok := rr.(*dns.CNAME); ok {
			found.alias = c.Target
		}
	}
	if len(found.list) > 0 {
		found.alias = ""
	}
	return found, nil
}

// sameQuestion compares names without case, which servers may change.
func sameQuestion(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && dns.CanonicalName(a.Name) == dns.CanonicalName(b.Name)
}

// merge returns the records of two answers to one question, and whether each
// has some that the other has not.
func merge(a, b records) records {
	one, other := lacking(b.list, a.list), lacking(a.list, b.list)
	a.turns = len(one) > 0 && len(other) > 0
	a.list, a.more = append(a.list, other...), append(a.more, b.more...)
	a.ttl, a.whole = shorter(a.ttl, b.ttl), a.whole || b.whole
	return a
}

// lacking returns what is in list and not in from.
func lacking(from, list []dns.RR) (missing []dns.RR) {
	for _, rr := range list {
		if !slices.ContainsFunc(from, func(x dns.RR) bool { return dns.IsDuplicate(x, rr) }) {
			missing = append(missing, rr)
		}
	}
	return missing
}

// shorter returns the shorter of two times, of which below 0 means none.
func shorter(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}
