package gate

import "testing"

func TestPassed(t *testing.T) {
	t.Parallel()
	mark := loopMark("0123", "web")
	f := func(want bool, fields ...string) {
		t.Helper()
		if got := passed(request(t, "GET a/", fields...), mark); got != want {
			t.Fatalf("unexpected result for %q: %v", fields, got)
		}
	}
	f(false)
	f(true, "CDN-Loop: "+mark)
	f(true, "cdn-loop: foo;v=1 , "+mark+" ;x=y,bar")
	f(true, "CDN-Loop: foo", "CDN-Loop: "+mark)
	f(false, "CDN-Loop: "+mark+"2", "CDN-Loop: x"+mark, "CDN-Loop: ,,", "CDN-Loop:", "Via: "+mark)
	f(false, "CDN-Loop: "+loopMark("0123", "api"), "CDN-Loop: "+loopMark("0124", "web"))
}
