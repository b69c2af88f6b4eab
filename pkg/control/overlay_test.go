package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

func mustCheck(t *testing.T, c Change) Change {
	t.Helper()
	c, problems := Check(c, time.Time{})
	if len(problems) > 0 {
		t.Fatalf("cannot use %v: %v", c, problems)
	}
	return c
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"10.0.0.1:80":            "10.0.0.1:80",
		"http://10.0.0.1:8001/":  "10.0.0.1:8001",
		"http://10.0.0.1":        "10.0.0.1:80",
		"https://Web.Example":    "web.example:443",
		"[::1]:80":               "[::1]:80",
		"http://[2001:DB8::1]:9": "[2001:db8::1]:9",
		"[::ffff:10.0.0.1]:80":   "10.0.0.1:80",
		"web_1.local:8080":       "web_1.local:8080",
		"":                       "",
		"10.0.0.1":               "",
		"10.0.0.1:0":             "",
		"10.0.0.1:70000":         "",
		"10.0.0.1:+80":           "",
		"10.0.0.300:80":          "",
		"::1:80":                 "",
		"ftp://a:1":              "",
		"http://a:1/path":        "",
		"http://u:p@a:1":         "",
		"a b:1":                  "",
		"a\n:1":                  "",
		":80":                    "",
	} {
		got, err := ParseAddress(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("unexpected address of %q; got %q, %v; want %q", in, got, err, want)
		}
	}
}

// TestCanBeAdded has addresses that a source may list, and nobody would add.
func TestCanBeAdded(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"10.0.0.1:80": true, "[fe80::1%eth0]:80": true, "web_1.local.:80": true, "localhost:80": true,
		"0.0.0.0:80": false, "[::]:80": false, "224.0.0.1:80": false, "a..b:80": false, "-x:80": false, "x-:80": false,
	} {
		_, problems := Check(Change{Target: Backend("web", address), What: Add}, time.Now())
		if got := len(problems) == 0; got != want {
			t.Errorf("unexpected verdict about adding %s; got %v, %v; want %v", address, got, problems, want)
		}
		if _, problems := Check(Change{Target: Backend("web", address), What: Drain}, time.Now()); len(problems) > 0 {
			t.Errorf("%s cannot be drained: %v", address, problems)
		}
	}
}

// TestCheck has a good value and a wrong one of everything that can be changed.
func TestCheck(t *testing.T) {
	t.Parallel()
	cases := []struct {
		target     Target
		what       What
		good, want string
		bad        []string
	}{
		{Service("web"), Strategy, "least_conn", "least_conn", []string{"", "least_con", "p2c,max-conns=1"}},
		{Service("web"), PanicThreshold, "50%", "50", []string{"", "101", "-1", "x"}},
		{Service("web"), MaxEjection, "0", "0", []string{"101"}},
		{Service("web"), EjectionTime, "90", "1m30s", []string{"", "0", "-1s", "x"}},
		{Service("web"), SlowStart, "30s", "30s", []string{"", "2h", "x"}},
		{Service("web"), RetryBudget, "20%", "20", []string{"", "101", "x"}},
		{Service("web"), Breaker, "50:5s", "50:5s", []string{"", "x", "101"}},
		{Service("web"), Breaker, "off", "off", nil},
		{Service("web"), MaxRequests, "100", "100", []string{"", "-1", "x"}},
		{Service("web"), Rate, "100", "100", []string{"", "-1", "x", "1/d", "1e9"}},
		{Service("web"), Rate, "0", "off", nil},
		{Service("web"), RateBurst, "5", "5", []string{"", "-1", "x"}},
		{Service("web"), RateKey, "header:X-Key", "header:X-Key", []string{"", "header", "header:", "cookie:a"}},
		{Service("web"), InFleet, "on", "true", []string{"", "maybe"}},
		{Service("web"), Concurrency, "adaptive", "adaptive", []string{"", "x"}},
		{Service("web"), MaxConns, "0", "0", []string{"-1"}},
		{Service("web"), Queue, "10", "10", []string{"0", "x"}},
		{Service("web"), QueueTimeout, "5s", "5s", []string{"0s", "x"}},
		{Service("web"), Canary, "web2:10%", "web2:10", []string{"", "web2", "web2:101", "web2:x", ":5", "a b:5", "tag=:5"}},
		{Service("web"), Canary, "10.0.0.1:80:2.5", "10.0.0.1:80:2.5", nil},
		{Service("web"), Canary, "[::1]:80:5", "[::1]:80:5", nil},
		{Service("web"), Canary, "tag=v2:5", "tag=v2:5", nil},
		{Service("web"), Maintenance, "back at 5", "back at 5", []string{"a\x00b"}},
		{Backend("web", "10.0.0.1:80"), Drain, "", "", []string{"x", "-1s"}},
		{Backend("web", "10.0.0.1:80"), Drain, "10m", "10m0s", nil},
		{Backend("web", "http://10.0.0.1:80"), Weight, "50%", "0.5x", []string{"", "x", "-1", "70000", "1e9x", "200x"}},
		{Backend("web", "10.0.0.1:80"), Weight, "0", "0", nil},
		{Backend("web", "10.0.0.1:80"), Force, "DOWN", "down", []string{"", "sideways"}},
		{Backend("web", "10.0.0.1:80"), Eject, "", "", []string{"10m"}},
		{Backend("web", "[::1]:80"), Add, "weight=2,zone=a", "weight=2,zone=a", []string{"weight=x", "colour=red", "weight=70000", "service=other"}},
		{Backend("web", "host.local:80"), Add, "", "", nil},
		{Backend("web", "10.0.0.1:80"), Remove, "", "", []string{"now"}},
		{Backend("web", "10.0.0.1:80"), Readmit, "", "", []string{"now"}},
		{Backend("web", "10.0.0.1:80"), Reset, "all", "all", []string{"", "x"}},
		{Target{Kind: OfRoute}, Set, "Example.com/api=web,strip=/api", "example.com/api=web,strip=/api", []string{"", "api=web", "/api", "/=web,colour=red"}},
		{Route("example.com/api"), Remove, "", "", []string{"x"}},
		{Target{Kind: OfListener}, Set, "l4 :5432=pg", "l4 :5432=pg", []string{"", ":5432=pg", "l4 5432", "l5 :1"}},
		{Target{Kind: OfListener}, Set, "l7 127.0.0.1:0", "l7 127.0.0.1:0", nil},
		{Listener(":5432"), Remove, "", "", []string{"x"}},
		{Process(), LogLevel, "debug", "debug", []string{"", "loud"}},
		{Process(), AccessLog, "on", "true", []string{"", "maybe"}},
		{Process(), AccessLogSample, "10", "10", []string{"0", "x"}},
	}
	seen := make(map[Key]bool)
	for _, c := range cases {
		seen[Key{Target{Kind: c.target.Kind}, c.what}] = true
		got, problems := Check(Change{Target: c.target, What: c.what, Value: c.good}, time.Now())
		if len(problems) > 0 || got.Value != c.want {
			t.Errorf("unexpected result of %v %s=%q; got %q, %v", c.target, c.what, c.good, got.Value, problems)
		}
		again, problems := Check(got, time.Now())
		if len(problems) > 0 || again != got {
			t.Errorf("the canonical form of %v is not its own: %v, %v", got, again, problems)
		}
		for _, bad := range c.bad {
			_, problems := Check(Change{Target: c.target, What: c.what, Value: bad}, time.Now())
			if len(problems) != 1 || problems[0].Field == "" || problems[0].Reason == "" || len(problems[0].Allowed) == 0 {
				t.Errorf("unexpected problems of %v %s=%q: %+v", c.target, c.what, bad, problems)
			}
		}
	}
	for _, r := range rules() {
		if !seen[Key{Target{Kind: r.kind}, r.what}] {
			t.Errorf("%s of a %s is not tested", r.what, r.kind)
		}
	}
	for field, c := range map[string]Change{
		"target":   {What: Drain},
		"service":  {Target: Service("a b"), What: Strategy, Value: "p2c"},
		"backend":  {Target: Backend("web", "x"), What: Drain},
		"what":     {Target: Service("web"), What: Drain},
		"reason":   {Target: Backend("web", "a:1"), What: Drain, Reason: strings.Repeat("x", maxText+1)},
		"by":       {Target: Backend("web", "a:1"), What: Drain, By: "a\nb"},
		"ttl":      {Target: Backend("web", "a:1"), What: Drain, Expires: time.Now().Add(-time.Second)},
		"strategy": {Target: Service("web"), What: Strategy, Value: strings.Repeat("x", maxValue+1)},
	} {
		if _, problems := Check(c, time.Now()); len(problems) != 1 || problems[0].Field != field {
			t.Errorf("unexpected problems of %v; got %+v, want one of %s", c, problems, field)
		}
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	drain := mustCheck(t, Change{Target: Backend("web", "10.0.0.1:80"), What: Drain, Value: "1m", At: now, Expires: now.Add(time.Hour), By: "maria", Reason: "deploy"})
	o := Overlay{}.With(Edit{Set: []Change{drain}, At: now})
	if w := o.Word("web", "10.0.0.1:80"); !w.Drain || !w.CloseBy.Equal(now.Add(time.Minute)) || w.By != "maria" || w.Reason != "deploy" || o.Version != 1 {
		t.Fatalf("unexpected word: %+v", w)
	}
	if w := o.Word("api", "10.0.0.1:80"); w != (Word{}) {
		t.Fatalf("another service got a word: %+v", w)
	}
	again := o.With(Edit{Set: []Change{drain}, At: now})
	if again.Version != o.Version || !again.Equal(o) {
		t.Fatal("the same change again made another version")
	}
	removed := o.With(Edit{Set: []Change{mustCheck(t, Change{Target: drain.Target, What: Remove})}, At: now})
	if w := removed.Word("web", "10.0.0.1:80"); !w.Removed || w.Drain || removed.Len() != 1 || removed.Version != 2 {
		t.Fatalf("unexpected word after a removal: %+v", w)
	}
	if o.Len() != 1 || !o.Word("web", "10.0.0.1:80").Drain {
		t.Fatal("an overlay was changed in place")
	}
	added := removed.With(Edit{Set: []Change{mustCheck(t, Change{Target: drain.Target, What: Add, Value: "weight=3"})}, At: now})
	if m := added.Added("web"); len(m) != 1 || m[0].Weight != 3 || added.Word("web", "10.0.0.1:80").Removed {
		t.Fatalf("unexpected members: %v", m)
	}
	if gone, ok := o.Expire(now.Add(time.Hour)); !ok || gone.Len() != 0 || gone.Version != 2 || gone.Recent()[1].Op != Expired {
		t.Fatalf("unexpected overlay after the end: %+v", gone)
	}
	if same, ok := o.Expire(now.Add(time.Hour - 1)); ok || !same.Equal(o) {
		t.Fatal("a change ended too early")
	}
	undone := o.With(Edit{Undo: []Key{drain.Key(), {Service("x"), Strategy}}, By: "tom", At: now})
	if undone.Len() != 0 || undone.Version != 2 || undone.Recent()[1].By != "tom" {
		t.Fatalf("unexpected overlay: %+v", undone)
	}
}

// TestOverlayRoundTrip holds what is kept against what was there, for random
// overlays.
func TestOverlayRoundTrip(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var o Overlay
	o.Lineage = "x"
	for range 300 {
		c := Change{Target: Backend(fmt.Sprintf("s%d", random.IntN(3)), fmt.Sprintf("10.0.0.%d:80", random.IntN(5))), At: time.Now(), By: "a", Reason: `"<&>`}
		c.What = []What{Drain, Weight, Force, Add, Remove, Eject}[random.IntN(6)]
		c.Value = map[What]string{Weight: "0.5x", Force: "up"}[c.What]
		if random.IntN(2) == 0 {
			c.Expires = time.Now().Add(time.Hour)
		}
		o = o.With(Edit{Set: []Change{mustCheck(t, c)}, At: time.Now()})
		b, err := Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(b)
		if err != nil || !back.Equal(o) || len(back.Recent()) != len(o.Recent()) {
			t.Fatalf("unexpected overlay after the way through JSON: %v\n%v\n%v", err, back, o)
		}
		if !slices.IsSortedFunc(o.Changes(), func(a, b Change) int { return compare(a.Key(), b.Key()) }) {
			t.Fatalf("not in order: %v", o)
		}
	}
	if len(o.Recent()) != maxRecent {
		t.Fatalf("unexpected number of records: %d", len(o.Recent()))
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	if _, err := Decode([]byte(`{"format":2,"whatever":[]}`)); !errors.Is(err, ErrNewer) {
		t.Fatalf("unexpected error of a newer format: %v", err)
	}
	for _, bad := range []string{"", "{", "{}", "null", `{"format":0}`, `{"format":1}x`, `{"format":1,"version":-1}`, `{"format":1,"changes":{}}`, "\x00\x00"} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
	newer := `{"format":1,"lineage":"l","version":7,"changes":[
		{"target":"backend","service":"web","backend":"10.0.0.1:80","what":"teleport","value":"mars","reason":"","by":"","at":"2026-01-01T00:00:00Z","expires":null,"version":7},
		{"target":"backend","service":"web","backend":"10.0.0.1:80","what":"drain","value":"","reason":"","by":"","at":"2026-01-01T00:00:00Z","expires":null,"version":6}]}`
	o, err := Decode([]byte(newer))
	if err != nil || o.Len() != 1 || len(o.Unknown()) != 1 {
		t.Fatalf("unexpected overlay: %v, %v", o, err)
	}
	b, err := Encode(o.With(Edit{Undo: []Key{o.Changes()[0].Key()}}))
	if err != nil || !strings.Contains(string(b), `"teleport"`) {
		t.Fatalf("what a newer sluice has set was lost: %s, %v", b, err)
	}
	var big Overlay
	for i := range maxChanges + 1 {
		big = big.With(Edit{Set: []Change{{Target: Backend("web", fmt.Sprintf("10.0.%d.%d:80", i/256, i%256)), What: Drain}}})
	}
	if _, err := Encode(big); !errors.Is(err, ErrFull) {
		t.Fatalf("unexpected error of too many changes: %v", err)
	}
}

func TestOver(t *testing.T) {
	t.Parallel()
	c := config.Default()
	web, _ := config.ParseRoute("/=web")
	api, _ := config.ParseRoute("/api=api")
	c.Routes = []config.Route{web, api}
	l4, _ := config.ParseL4(":5432=pg")
	c.L4 = []config.L4{l4}
	before, _ := json.Marshal(c)
	var o Overlay
	for _, ch := range []Change{
		{Target: Service("web"), What: Strategy, Value: "maglev"},
		{Target: Service("web"), What: MaxRequests, Value: "7"},
		{Target: Service("web"), What: Breaker, Value: "off"},
		{Target: Target{Kind: OfRoute}, What: Set, Value: "/api=api2,strip=/api"},
		{Target: Target{Kind: OfRoute}, What: Set, Value: "x.example/=web"},
		{Target: Route("/"), What: Remove},
		{Target: Target{Kind: OfListener}, What: Set, Value: "l7 127.0.0.1:8080"},
		{Target: Listener(":5432"), What: Remove},
		{Target: Process(), What: LogLevel, Value: "debug"},
		{Target: Process(), What: AccessLog, Value: "true"},
		{Target: Process(), What: AccessLogSample, Value: "5"},
	} {
		o = o.With(Edit{Set: []Change{mustCheck(t, ch)}})
	}
	got := o.Over(&c)
	if s := got.Service("web"); s.Strategy != "maglev" || s.MaxRequests != 7 || s.Breaker.Percent != 0 {
		t.Errorf("unexpected service: %v", s)
	}
	if len(got.Routes) != 2 || got.Routes[0].String() != "/api=api2,strip=/api" || got.Routes[1].String() != "x.example/=web" {
		t.Errorf("unexpected routes: %v", got.Routes)
	}
	if len(got.L4) != 0 || len(got.L7) != 1 || got.LogLevel != "debug" || !got.AccessLog || got.AccessLogSample != 5 {
		t.Errorf("unexpected configuration: %v %v %v", got.L4, got.L7, got.LogLevel)
	}
	if after, _ := json.Marshal(c); string(after) != string(before) {
		t.Error("the configuration below was changed")
	}
}
