package consul

import (
	"strings"
	"testing"
	"time"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// TestKeeper walks through lists. A letter is a member by ID, listed as
// passing; in capitals, critical; "+" in front of the result's letter means
// that it is kept.
func TestKeeper(t *testing.T) {
	t.Parallel()
	const limit = time.Minute
	type step struct {
		after  time.Duration
		listed string // after "!" if contact was broken, "?" if some are hidden
		up     string // whose own check passes
		want   string
	}
	f := func(name string, steps ...step) {
		t.Helper()
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var up string
		k := keeper{limit: limit, up: func(address string) bool {
			return strings.Contains(up, address[len("10.0.0."):strings.IndexByte(address, ':')])
		}}
		var last []discovery.Member
		for i, s := range steps {
			now, up = now.Add(s.after), s.up
			var broken, partial bool
			s.listed, broken = strings.CutPrefix(s.listed, "!")
			s.listed, partial = strings.CutPrefix(s.listed, "?")
			listed := members(strings.ToLower(s.listed))
			for j := range listed {
				if listed[j].ID != s.listed[j:j+1] {
					listed[j].Status = backend.Critical
				}
			}
			got, kept := k.next(now, last, listed, nil, broken, partial)
			last = listed
			var text string
			n := 0
			for _, m := range got {
				switch m.Status {
				case backend.Absent:
					text += "+" + m.ID
					n++
				case backend.Critical:
					text += strings.ToUpper(m.ID)
				default:
					text += m.ID
				}
			}
			if text != s.want || n != kept {
				t.Fatalf("%s, step %d: unexpected members; got %q with %d kept; want %q", name, i+1, text, kept, s.want)
			}
		}
	}
	f("few lost", step{0, "abcd", "abcd", "abcd"}, step{0, "ab", "abcd", "ab"}, step{0, "b", "abcd", "b"})
	f("emptied and back", step{0, "abc", "abc", "abc"}, step{0, "", "abc", "+a+b+c"}, step{0, "", "abc", "+a+b+c"},
		step{0, "a", "abc", "a+b+c"}, step{0, "abc", "abc", "abc"}, step{0, "ac", "abc", "ac"})
	f("own check decides", step{0, "abc", "abc", "abc"}, step{0, "", "ac", "+a+c"}, step{0, "", "c", "+c"}, step{0, "", "", ""}, step{0, "", "abc", ""})
	f("no check, nobody kept", step{0, "abc", "", "abc"}, step{0, "", "", ""})
	f("bounded", step{0, "abc", "abc", "abc"}, step{0, "", "abc", "+a+b+c"}, step{limit - 1, "", "abc", "+a+b+c"}, step{1, "", "abc", ""})
	f("bounded for each", step{0, "abc", "abc", "abc"}, step{0, "", "abc", "+a+b+c"}, step{limit / 2, "b", "abc", "+ab+c"},
		step{0, "!", "abc", "+a+b+c"}, step{limit / 2, "", "abc", "+b"})
	f("deregistered while others are kept", step{0, "abc", "abc", "abc"}, step{0, "", "abc", "+a+b+c"}, step{0, "b", "abc", "+ab+c"},
		step{0, "", "abc", "+a+c"})
	f("critical is believed", step{0, "aBc", "abc", "aBc"}, step{0, "", "abc", "+a+c"})
	f("critical while kept", step{0, "abc", "abc", "abc"}, step{0, "", "abc", "+a+b+c"}, step{0, "A", "abc", "A+b+c"})
	f("mass loss", step{0, "abcde", "abcde", "abcde"}, step{0, "ab", "abcde", "ab+c+d+e"}, step{0, "abc", "abcde", "abc"})
	f("replaced", step{0, "ab", "ab", "ab"}, step{0, "xy", "ab", "+a+bxy"}, step{0, "xy", "abx", "xy"})
	f("replaced by critical ones", step{0, "ab", "ab", "ab"}, step{0, "XY", "abxy", "+a+bXY"})
	f("hidden by ACLs", step{0, "abc", "abc", "abc"}, step{0, "?ab", "abc", "ab+c"}, step{0, "?ab", "ab", "ab"})
	f("hidden by ACLs, and shown", step{0, "abc", "abc", "abc"}, step{0, "?a", "abc", "a+b+c"}, step{0, "abc", "abc", "abc"})
	f("the last one on purpose", step{0, "a", "a", "a"}, step{0, "", "a", ""})
	f("the last one by an outage", step{0, "a", "a", "a"}, step{0, "!", "a", "+a"}, step{0, "", "a", "+a"}, step{0, "a", "a", "a"}, step{0, "", "a", ""})
	f("the last one replaced", step{0, "a", "a", "a"}, step{0, "b", "ab", "b"})
	f("one of two by an outage", step{0, "ab", "ab", "ab"}, step{0, "!b", "ab", "b"})

	off := keeper{up: func(string) bool { return true }}
	if got, kept := off.next(time.Now(), members("ab"), nil, nil, true, false); len(got) != 0 || kept != 0 {
		t.Fatalf("unexpected members with a limit of 0: %+v", got)
	}
}

// TestKeeperSameAddress checks that a member that is back under another ID
// takes the place of the one that is kept.
func TestKeeperSameAddress(t *testing.T) {
	t.Parallel()
	k := keeper{limit: time.Minute, up: func(string) bool { return true }}
	k.next(time.Now(), members("abcd"), nil, nil, false, false)
	again := members("a")
	again[0].ID = "new"
	got, kept := k.next(time.Now(), nil, again, nil, false, false)
	if kept != 3 || got[0].ID != "b" || got[3].ID != "new" {
		t.Fatalf("unexpected members: %+v", got)
	}
}

// TestKeeperLeftOut checks that who is listed, but no member any more, is not
// kept: that is an explicit word.
func TestKeeperLeftOut(t *testing.T) {
	t.Parallel()
	k := keeper{limit: time.Minute, up: func(string) bool { return true }}
	got, kept := k.next(time.Now(), members("abcd"), nil, []string{"a", "c"}, false, false)
	if kept != 2 || got[0].ID != "b" || got[1].ID != "d" {
		t.Fatalf("unexpected members: %+v", got)
	}
}
