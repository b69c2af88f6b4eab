package engine

import (
	"context"
	"fmt"
	"log/slog"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// merged returns members with each address once, and says once of each address
// that several entries have it; s.mu is held.
func (s *service) merged(members []discovery.Member) []discovery.Member {
	merged, twins := discovery.Merge(members, s.standIn)
	told := make(map[string]bool)
	for _, t := range twins {
		told[t.Address] = true
		if !s.twins[t.Address] {
			s.logger.Warn("several entries have one address and are one backend: the healthiest speaks for all, and maintenance of any is that of all",
				"backend", t.Address, "ids", t.IDs)
		}
	}
	s.twins = told
	s.standIn = make(map[string]string, len(merged))
	for _, m := range merged {
		s.standIn[m.Address] = m.ID
	}
	return merged
}

// tellMember logs a change of a member that its source brought. Who is there
// at the start is not news.
func (s *service) tellMember(b *backend.Backend, c backend.Change) {
	level, msg := slog.LevelInfo, "the registry changed what it says of a backend"
	switch c.To {
	case backend.Joined:
		if !s.started {
			return
		}
		msg = "a backend joined the service"
	case backend.Left:
		msg = "a backend left the service"
	case backend.Critical.String(), backend.Warning.String(), backend.Absent.String():
		level = slog.LevelWarn
	}
	s.logger.Log(context.Background(), level, msg, "backend", b.Addr(), "id", b.ID(), "to", c.To, "signal", c.Signal, "detail", c.Detail)
}

// byTags reports whether the service is one that tags ask for, which is gone when
// it has no members.
func (s *service) byTags() bool { return s.registered != nil }

// tellEmpty says when the service has no members, and when it has some again.
func (s *service) tellEmpty(n int) {
	if s.byTags() || s.feed == nil { // which is gone then
		return
	}
	switch empty := n == 0; {
	case empty && !s.empty:
		s.logger.Warn("the service has no members: "+s.emptyHint(), "sources", s.feedKind())
	case !empty && s.empty:
		s.logger.Info("the service has members", "members", n)
	}
	s.empty = n == 0
}

// feedKind names the kinds of what lists the members; s.mu is held.
func (s *service) feedKind() string {
	if s.feed == nil {
		return ""
	}
	return s.feed.kind
}

// emptyHint says what to look at if the service has no members.
func (s *service) emptyHint() string {
	c := s.wants.Load().Settings
	switch {
	case c.Tag != "":
		return fmt.Sprintf("is one registered in Consul as %q with the tag %q?", c.Consul, c.Tag)
	case c.DNS == "" && c.File == "" && c.Consul != "":
		return fmt.Sprintf("is one registered in Consul as %q, and is that how it is spelt there?", c.Consul)
	}
	return "none of its sources lists any"
}

// untagged returns the addresses that are members no more in a new list, and
// are still registered: they have lost the tag that made them members.
func (s *service) untagged(members []discovery.Member) (addresses []string) {
	if s.registered == nil {
		return nil
	}
	staying := make(map[string]bool, len(members))
	for _, m := range members {
		staying[m.Address] = true
	}
	for _, b := range s.pool.Snapshot().All {
		if !staying[b.Addr()] && s.registered(b.Addr()) {
			addresses = append(addresses, b.Addr())
		}
	}
	return addresses
}
