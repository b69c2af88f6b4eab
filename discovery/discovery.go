// Package discovery says who the members of a service are.
//
// A [Source] watches one service wherever it is registered and reports the
// whole list of its members each time it changes; what is done with the list
// is [backend.Pool.Set]'s business. A source that loses contact reports
// nothing, so that the last good list stays in use; what troubles it is in its
// [Report].
//
//	discovery.go  Member, Source, Report
//	static.go     a list that never changes
//	union.go      several sources for one service
//	file/         a watched file
//	dns/          address and SRV records
//	consul/       Consul's catalogue
//	fabio/        what Fabio's tags mean, for consul/
package discovery

import (
	"context"
	"slices"
	"strings"
	"time"

	"sluice/pkg/backend"
)

// Member is one member of a service as a source reports it.
type Member struct {
	backend.Target
	// Tags are the source's labels of the member.
	Tags []string
	// Protocol is what the member speaks, tcp or one of backend.Protocols; empty if it is not
	// known.
	Protocol string
	// Withdrawn says that it is no member any more by an explicit word: it is
	// still registered, and has lost the tag that makes it one.
	Withdrawn bool
	// Check is how the member wants to be checked, as health.ParseCheck reads
	// it; empty leaves that to the service.
	Check string
	// Balances is what the member says that it leads to itself, if it is another
	// load balancer: see Leads.
	Balances string
	// From names another service that it is a member of, which this one fails
	// over to; empty for its own.
	From string
}

// Leads reports whether a member that says balances of itself leads to what is
// called name: its names are separated by blanks, and case makes no difference.
func Leads(balances, name string) bool {
	return slices.ContainsFunc(strings.Fields(balances), func(s string) bool { return strings.EqualFold(s, name) })
}

// Equal reports whether m and n are the same in every respect.
func (m Member) Equal(n Member) bool {
	return m.Target == n.Target && m.Protocol == n.Protocol && m.Check == n.Check && m.Withdrawn == n.Withdrawn && m.Balances == n.Balances && m.From == n.From && slices.Equal(m.Tags, n.Tags)
}

// Split returns those of members that are not withdrawn, and the addresses of
// those that are and of which nobody else is a member.
func Split(members []Member) (staying []Member, withdrawn []string) {
	there := make(map[string]bool, len(members))
	for _, m := range members {
		if !m.Withdrawn {
			staying = append(staying, m)
			there[m.Address] = true
		}
	}
	for _, m := range members {
		if m.Withdrawn && !there[m.Address] {
			withdrawn = append(withdrawn, m.Address)
		}
	}
	return staying, withdrawn
}

// Targets returns what the pool has to know of members.
func Targets(members []Member) []backend.Target {
	targets := make([]backend.Target, len(members))
	for i, m := range members {
		targets[i] = m.Target
	}
	return targets
}

// Source reports the members of one service.
type Source interface {
	// Watch calls update with the complete list of members, first as soon as
	// it is known and then whenever it may have changed, always from one
	// goroutine at a time. It blocks until ctx ends and then returns ctx's
	// error; trouble with the registry is retried, logged and counted, never
	// returned. The list belongs to update once passed.
	Watch(ctx context.Context, update func([]Member)) error

	// Reports says how the source, or each of several, is doing. It is safe
	// for concurrent use with Watch.
	Reports() []Report
}

// Report is what a source says of itself to people.
type Report struct {
	// Source names the source, for instance "consul 127.0.0.1:8500".
	Source string
	// Trouble is what is wrong, in words to act on; empty while all is well.
	Trouble string
	// Since is when the trouble began.
	Since time.Time
	// Kept is how many members are in use that the source no longer lists, or
	// cannot vouch for now.
	Kept int
}
