package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
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
}

// resolver asks DNS servers. It does not cache.
type resolver struct {
	servers []string // host:port; empty: those of path
	path    string   // of resolv.conf
	read    func(path string) (*dns.ClientConfig, error)
}

// lookup asks for the records of a type. A name that does not end with a dot
// is looked for in the search list too, unless servers were given.
func (r *resolver) lookup(ctx context.Context, name string, qtype uint16) (records, error) {
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
		if found, err = r.ask(ctx, servers, n, qtype); err != nil || len(found.list) > 0 {
			return found, err
		}
	}
	return found, nil
}

// ask asks one server after the other until one answers.
func (r *resolver) ask(ctx context.Context, servers []string, name string, qtype uint16) (records, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(udpSize, false)
	var errs []error
	for range attempts {
		for _, server := range servers {
			found, err := exchange(ctx, server, q)
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

// exchange sends q to one server.
func exchange(ctx context.Context, server string, q *dns.Msg) (records, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	udp := &dns.Client{Net: "udp", Timeout: queryTimeout, UDPSize: udpSize}
	a, _, err := udp.ExchangeContext(ctx, q, server)
	if err == nil && a.Truncated {
		tcp := &dns.Client{Net: "tcp", Timeout: queryTimeout}
		a, _, err = tcp.ExchangeContext(ctx, q, server)
	}
	if err != nil {
		return records{}, err
	}
	switch {
	case a.Rcode == dns.RcodeNameError:
		return records{}, nil
	case a.Rcode != dns.RcodeSuccess:
		return records{}, fmt.Errorf("the server says %s", dns.RcodeToString[a.Rcode])
	case a.Truncated:
		return records{}, errors.New("the answer is truncated")
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
	}
	return found, nil
}

// shorter returns the shorter of two times, of which below 0 means none.
func shorter(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}
