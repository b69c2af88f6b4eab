package config

import "testing"

func TestPaths(t *testing.T) {
	t.Parallel()
	wantTrip(t, ParseL7, ":1,path=raw,encoded-slash=decode,backslash=reject,semicolon=keep,nul=keep")
	wantTrip(t, ParseL7, ":1,path=normalized,encoded-slash=check")
	for _, bad := range []string{"path=x", "encoded-slash=x", "backslash=", "semicolon=decode", "nul=check"} {
		wantRefused(t, ParseL7, ":1,"+bad, "is none of")
	}
	wantTrip(t, ParseRoute, "/x=web,forward-path=raw")
	r, err := ParseRoute("a.test/x=web,path=normalized")
	if err != nil || r.Path != "/x" || r.Form != "normalized" {
		t.Errorf("unexpected route: %+v, %v", r, err)
	}
}

func TestSpelled(t *testing.T) {
	t.Parallel()
	f := func(a, b string, want bool) {
		t.Helper()
		if (spelled(a) == spelled(b)) != want {
			t.Errorf("unexpected judgement of %s and %s: %q, %q", a, b, spelled(a), spelled(b))
		}
	}
	f("/a", "/%61", true)
	f("/a/", "//a//", true)
	f("/caf%C3%A9", "/caf\u00e9", true)
	f("/a%2fb", "/a%2Fb", true)
	f("/a%2fb", "/a/b", false)
	f("/a%2fb", "/a%252fb", false)
	f("/a", "/A", false)
	f("/a", "/a/", false)
}
