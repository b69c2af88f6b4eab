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
