package discovery

import (
	"fmt"
	"slices"
	"testing"

	"sluice/pkg/backend"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	m := func(id, addr string, weight int, status backend.Status) Member {
		return Member{Target: backend.Target{ID: id, Address: addr, Weight: weight, Status: status}}
	}
	f := func(members []Member, known map[string]string, want, wantTwins string) {
		t.Helper()
		got, twins := Merge(slices.Clone(members), known)
		s := ""
		for _, m := range got {
			s += fmt.Sprintf("%s@%s*%d %s; ", m.ID, m.Address, m.Weight, m.Status)
		}
		if s != want {
			t.Fatalf("unexpected members; got %q; want %q", s, want)
		}
		if s := fmt.Sprint(twins); s != wantTwins {
			t.Fatalf("unexpected twins; got %q; want %q", s, wantTwins)
		}
	}
	pass, warn, crit, maint := backend.Passing, backend.Warning, backend.Critical, backend.Maintenance

	f(nil, nil, "", "[]")
	f([]Member{m("a", "1", 1, pass), m("b", "2", 1, crit)}, nil, "a@1*1 passing; b@2*1 critical; ", "[]")
	// The healthiest speaks, and the ID is the least, whatever the order.
	f([]Member{m("b", "1", 7, pass), m("c", "2", 1, pass), m("a", "1", 3, crit)}, nil, "a@1*7 passing; c@2*1 passing; ", "[{1 [a b]}]")
	f([]Member{m("a", "1", 3, warn), m("b", "1", 7, pass)}, nil, "a@1*7 passing; ", "[{1 [a b]}]")
	// An ID that stood for the address goes on doing so while it is there.
	f([]Member{m("a", "1", 3, warn), m("b", "1", 7, pass)}, map[string]string{"1": "b"}, "b@1*7 passing; ", "[{1 [b a]}]")
	f([]Member{m("a", "1", 3, warn), m("b", "1", 7, pass)}, map[string]string{"1": "x"}, "a@1*7 passing; ", "[{1 [a b]}]")
	// What somebody said explicitly holds.
	f([]Member{m("a", "1", 3, pass), m("b", "1", 7, maint)}, nil, "a@1*3 maintenance; ", "[{1 [a b]}]")
	f([]Member{m("a", "1", 3, pass), m("b", "1", 0, pass)}, nil, "a@1*0 passing; ", "[{1 [a b]}]")
	spare := m("b", "1", 0, warn)
	spare.Spare = 5
	f([]Member{m("a", "1", 3, pass), spare}, nil, "a@1*3 passing; ", "[{1 [a b]}]")
}

func TestSplit(t *testing.T) {
	t.Parallel()
	m := func(id, addr string, withdrawn bool) Member {
		return Member{Target: backend.Target{ID: id, Address: addr}, Withdrawn: withdrawn}
	}
	staying, withdrawn := Split([]Member{m("a", "1", false), m("b", "1", true), m("c", "2", true)})
	if len(staying) != 1 || staying[0].ID != "a" || !slices.Equal(withdrawn, []string{"2"}) {
		t.Fatalf("unexpected split; got %+v and %q; want a alone, and 2", staying, withdrawn)
	}
}
