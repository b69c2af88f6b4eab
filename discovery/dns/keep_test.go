package dns

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/discovery"
	"sluice/pkg/backend"
)

// TestKeeper steps through answers. A step is "ANSWER > MEMBERS", of letters,
// after which own checks may be set for what follows: "down=ab", "up=*".
// An answer may end in "?" (it may not be whole) or "!" (asked twice, each had
// others). A member that stays as absent is written in upper case. Answers come
// a second apart; keep is ten.
func TestKeeper(t *testing.T) {
	t.Parallel()
	f := func(name string, steps ...string) {
		t.Helper()
		k := keeper{keep: 10 * time.Second}
		now := time.Unix(0, 0)
		up, down := "", ""
		own := standing{
			up:   func(a string) bool { return up == "*" || strings.Contains(up, a) },
			down: func(a string) bool { return strings.Contains(down, a) },
		}
		for i, step := range steps {
			if v, ok := strings.CutPrefix(step, "up="); ok {
				up = v
				continue
			}
			if v, ok := strings.CutPrefix(step, "down="); ok {
				down = v
				continue
			}
			given, want, _ := strings.Cut(step, ">")
			a := answer{whole: !strings.Contains(given, "?"), turns: strings.Contains(given, "!"), ttl: time.Second}
			for _, c := range strings.Trim(given, " ?!") {
				a.members = append(a.members, member{Member: discovery.Member{Target: backend.Target{ID: string(c), Address: string(c)}}})
			}
			now = now.Add(time.Second)
			got := ""
			members, _ := k.next(now, a, own)
			for _, m := range members {
				if m.Status == backend.Absent {
					m.ID = strings.ToUpper(m.ID)
				}
				got += m.ID
			}
			if got != strings.TrimSpace(want) {
				t.Fatalf("%s: unexpected members after step %d, %q; got %q", name, i, step, got)
			}
		}
	}
	f("who leaves alone is gone at once", "abc > abc", "ab > ab", "a > a")
	f("who comes is there at once", "a > a", "abc > abc")
	f("who was replaced stays for two answers more", "abcdefgh > abcdefgh", "abcdefgx > abcdefghx", "abcdefgx > abcdefghx", "abcdefgx > abcdefgx")
	f("unless it is down", "abcdefgh > abcdefgh", "down=h", "abcdefgx > abcdefgx")
	f("and so does a half that is lost, as absent, while it is up",
		"up=*", "abcdef > abcdef", "ab > abCDEF", "up=abc", "ab > abC", "abd > abCd", "abcd > abcd")
	f("but not for ever", append([]string{"up=*", "abcd > abcd"}, append(slices.Repeat([]string{"a > aBCD"}, 9), "a > a")...)...)
	f("what may not be whole takes nobody away that is not down",
		"abcd > abcd", "ab? > abcd", "down=d", "ab? > abc")
	f("many for many may take turns", "abcd > abcd", "abxy > abcdxy", "abxy > abcdxy", "abxy > abcdxy", "abxy > abcdxy")
	f("those that take turns are all members", "ab > ab", "cd! > abcd", "ef > abcdef", "ab > abcdef", "down=ab", "cd > abcdef")
	f("turns are noticed when somebody comes back while others go", "abcdefgh > abcdefgh", "abcdefgx > abcdefghx", "abcdefxh > abcdefghx",
		"abcdefxh > abcdefghx", "abcdefxh > abcdefghx", "abcdefxh > abcdefghx")
	f("also who was believed to be gone", "abcdefgh > abcdefgh", "abcdefg > abcdefg", "abcdefh > abcdefgh", "abcdefh > abcdefgh", "abcdefh > abcdefgh", "abcdefh > abcdefgh")
}

// TestKeeperForgets checks that nothing is known of those for ever that have
// taken turns, and that turns end.
func TestKeeperForgets(t *testing.T) {
	t.Parallel()
	k := keeper{keep: time.Second}
	nobody := func(string) bool { return false }
	own := standing{up: nobody, down: nobody}
	at := time.Unix(0, 0)
	step := func(ids ...string) (members []member) {
		a := answer{whole: true, ttl: time.Second}
		for _, id := range ids {
			a.members = append(a.members, member{Member: discovery.Member{Target: backend.Target{ID: id, Address: id}}})
		}
		at = at.Add(time.Second)
		members, _ = k.next(at, a, own)
		return members
	}
	for i := range 1000 {
		step(fmt.Sprint(i), fmt.Sprint(i+1), fmt.Sprint(i%7))
	}
	if len(k.known) > 3*windowAnswers || !k.rotating {
		t.Fatalf("unexpected memory of %d, rotating %t", len(k.known), k.rotating)
	}
	for range 3 * windowAnswers {
		step("a", "b")
	}
	if len(k.known) != 2 || k.rotating {
		t.Fatalf("unexpected memory of %d, rotating %t, after answers that are all the same", len(k.known), k.rotating)
	}
}
