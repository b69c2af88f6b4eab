package fabio

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sluice/discovery"
)

// Table is what the tags of many services ask for. Everything in it is sorted,
// so that equal input makes equal tables.
type Table struct {
	Pools     []Pool
	Routes    []Route
	Listeners []Listener
	Problems  []Problem
}

// Pool is a set of members that routes and listeners lead to. Its name is that
// of the one service in Consul whose instances it holds, all of them; or else
// the names of the services, joined by "+", "@" and the route.
type Pool struct {
	Name     string
	Services []string // in Consul
	Members  []discovery.Member
}

// Route leads HTTP requests to a pool, or answers them with a redirect.
type Route struct {
	Host, Path string
	Rewrite
	Allow, Deny []netip.Prefix
	Auth        string // names the users that are let in; empty: everybody
	Closed      bool   // nobody is let in
	Pool        string // empty for a redirect
}

// Listener leads the connections of a TCP listener to a pool.
type Listener struct {
	Addr       string
	Pool       string
	ProxyProto bool // instances want a PROXY header, of version 1
}

// Problem is a tag, or an option of one, that has no effect.
type Problem struct {
	Service, ID, Tag string
	Reason           string
	// Used says that the rest of the tag has its effect.
	Used bool
}

// Equal reports whether p and q are the same.
func (p Pool) Equal(q Pool) bool {
	return p.Name == q.Name && slices.Equal(p.Services, q.Services) &&
		slices.EqualFunc(p.Members, q.Members, discovery.Member.Equal)
}

// Equal reports whether r and s are the same.
func (r Route) Equal(s Route) bool {
	return r.Host == s.Host && r.Path == s.Path && r.Rewrite == s.Rewrite && r.Pool == s.Pool && r.Auth == s.Auth && r.Closed == s.Closed &&
		slices.Equal(r.Allow, s.Allow) && slices.Equal(r.Deny, s.Deny)
}

// claim is a member that asks for a route or a listener.
type claim struct {
	service string
	member  discovery.Member
	text    string
	*reading
}

// reading is what a tag was read as.
type reading struct {
	tag     Tag
	ignored []string
	err     error
	route   string // the route or listener that the tag asks for
	what    string // everything that all claims of a route must agree on
}

// Reader makes tables. It reads each tag once, as long as somebody has it. It
// is for one goroutine at a time.
type Reader struct {
	prefix string
	env    map[string]string
	known  map[string]*reading // by tag
}

// NewReader returns a Reader of the tags that begin with prefix. In them, $NAME
// stands for env's value.
func NewReader(prefix string, env map[string]string) *Reader {
	return &Reader{prefix: prefix, env: env}
}

// read returns what text means, and notes it in next.
func (r *Reader) read(text string, next map[string]*reading) *reading {
	if rd := next[text]; rd != nil {
		return rd
	}
	rd := r.known[text]
	if rd == nil {
		rd = &reading{}
		rd.tag, rd.ignored, rd.err = Parse(text, r.prefix, r.env)
		if rd.route = rd.tag.Listen; rd.route == "" {
			rd.route = rd.tag.Host + rd.tag.Path
		}
		rd.what = fmt.Sprint(rd.tag.Rewrite, rd.tag.Allow, rd.tag.Deny, rd.tag.ProxyProto, rd.tag.Auth, rd.tag.Closed != "")
	}
	next[text] = rd
	return rd
}

// Build makes the table of the members of services, by their names in Consul.
// Members of one route whose tags disagree about more than weights cannot all
// have their way: the majority has.
func (r *Reader) Build(services map[string][]discovery.Member) Table {
	var t Table
	claims := make(map[string][]claim) // by route
	next := make(map[string]*reading, len(r.known))
	for _, service := range slices.Sorted(maps.Keys(services)) {
		for _, m := range services[service] {
			t.claim(claims, service, m, r, next)
		}
	}
	r.known = next
	pools := make(map[string]Pool)
	for _, key := range slices.Sorted(maps.Keys(claims)) {
		agreed := t.agree(claims[key])
		tag, pool := agreed[0].tag, ""
		if tag.RedirectCode == 0 {
			p := poolOf(key, agreed, services)
			pools[p.Name], pool = p, p.Name
		}
		if tag.Listen != "" {
			t.Listeners = append(t.Listeners, Listener{Addr: tag.Listen, Pool: pool, ProxyProto: tag.ProxyProto})
			continue
		}
		t.Routes = append(t.Routes, Route{
			Host: tag.Host, Path: tag.Path, Rewrite: tag.Rewrite, Allow: tag.Allow, Deny: tag.Deny,
			Auth: tag.Auth, Closed: tag.Closed != "", Pool: pool,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		t.Pools = append(t.Pools, pools[name])
	}
	slices.SortFunc(t.Problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.ID, b.ID), strings.Compare(a.Tag, b.Tag), strings.Compare(a.Reason, b.Reason))
	})
	return t
}

// claim adds what the tags of m ask for to claims.
func (t *Table) claim(claims map[string][]claim, service string, m discovery.Member, r *Reader, next map[string]*reading) {
	seen := make(map[string]bool)
	for _, text := range m.Tags {
		if !strings.HasPrefix(strings.TrimSpace(text), r.prefix) {
			continue
		}
		problem := func(reason string, used bool) {
			t.Problems = append(t.Problems, Problem{Service: service, ID: m.ID, Tag: text, Reason: reason, Used: used})
		}
		rd := r.read(text, next)
		if rd.err != nil {
			problem(rd.err.Error(), false)
			continue
		}
		if rd.tag.Closed != "" {
			problem("nobody may use the route: "+rd.tag.Closed, true)
		}
		for _, option := range rd.ignored {
			problem(fmt.Sprintf("option %q has no effect", option), true)
		}
		if m.Protocol == "tcp" && rd.tag.Listen == "" {
			problem("the instance says that it speaks tcp, not http", false)
			continue
		}
		if seen[rd.route] {
			problem("the instance has another tag for the same route", false)
			continue
		}
		seen[rd.route] = true
		claims[rd.route] = append(claims[rd.route], claim{service, m, text, rd})
	}
}

// agree returns the claims of a route that agree, in the order of services and
// IDs, and reports the others.
func (t *Table) agree(claims []claim) []claim {
	votes := make(map[string]int)
	for _, c := range claims {
		votes[c.what]++
	}
	if len(votes) == 1 {
		return claims
	}
	winner := claims[0].what
	for _, c := range claims {
		if w := c.what; votes[w] > votes[winner] {
			winner = w
		}
	}
	var agreed []claim
	for _, c := range claims {
		if c.what == winner {
			agreed = append(agreed, c)
			continue
		}
		t.Problems = append(t.Problems, Problem{
			Service: c.service, ID: c.member.ID, Tag: c.text,
			Reason: "most instances of the same route have other options",
		})
	}
	return agreed
}

// poolOf returns the pool of a route's claims.
func poolOf(route string, claims []claim, services map[string][]discovery.Member) Pool {
	var p Pool
	fixed := make([]float64, len(claims))
	spoken := false // the tags say what the members speak, maybe other tags otherwise
	for i, c := range claims {
		if !slices.Contains(p.Services, c.service) {
			p.Services = append(p.Services, c.service)
		}
		m := c.member
		if c.tag.Protocol != "" {
			m.Protocol, m.SkipVerify, m.ServerName = c.tag.Protocol, c.tag.SkipVerify, c.tag.ServerName
			spoken = true
		}
		p.Members = append(p.Members, m)
		fixed[i] = c.tag.Weight
	}
	one := len(p.Services) == 1
	if !one {
		// An ID is unique within its service on a node; two services may well
		// have the same one on different agents of one node.
		for i, c := range claims {
			p.Members[i].ID = c.service + "/" + c.member.ID
		}
	}
	shared := share(p.Members, fixed)
	if one && !shared && !spoken && len(claims) == len(services[p.Services[0]]) {
		p.Name = p.Services[0]
		return p
	}
	p.Name = strings.Join(p.Services, "+") + "@" + route
	return p
}
