package gate

import "testing"

// TestFaulty looks at which statuses are a failure of the backend.
func TestFaulty(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		status int
		class  string
		faulty bool
	}{{99, "other", false}, {100, "1xx", false}, {499, "4xx", false}, {500, "5xx", true}, {501, "5xx", false}, {505, "5xx", false}, {599, "5xx", true}, {600, "other", false}, {999, "other", false}} {
		if got := className(statusClass(s.status)); got != s.class || faulty(s.status) != s.faulty {
			t.Errorf("unexpected judgement of %d: %s, %v", s.status, got, faulty(s.status))
		}
	}
}
