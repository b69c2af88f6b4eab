package reactor

import "testing"

// TestFront checks when a loop joins those that accept, and when one leaves.
func TestFront(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		shares []int
		front  int
		quiet  bool
		want   int
	}{
		{"one loop that idles", []int{10, 0}, 1, true, 1},
		{"one loop that has time left", []int{700, 0}, 1, false, 1},
		{"one loop that has none", []int{900, 0}, 1, false, 2},
		{"nobody is left", []int{900}, 1, false, 1},
		{"two that have none", []int{900, 950, 0, 0}, 2, false, 3},
		{"one of two has", []int{990, 400, 0, 0}, 2, false, 2},
		{"two for the work of one, for a moment", []int{100, 100}, 2, false, 2},
		{"two for the work of one, for a while", []int{100, 100}, 2, true, 1},
		{"two for what one would be busy with", []int{300, 300}, 2, true, 2},
		{"what loops behind the front do counts", []int{100, 100, 900}, 2, true, 2},
	} {
		if got := nextFront(c.shares, c.front, c.quiet); got != c.want {
			t.Errorf("%s: unexpected size of the front; got %d; want %d", c.what, got, c.want)
		}
	}
}

// TestShedding checks who gives connections away, to whom, and how many.
func TestShedding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what         string
		shares       []int
		front, index int
		to, part     int
	}{
		{"alone", []int{990, 0}, 1, 0, 0, 0},
		{"much busier", []int{900, 100}, 2, 0, 1, 444},
		{"the other way round", []int{100, 900}, 2, 1, 0, 444},
		{"the one that is less busy", []int{900, 100}, 2, 1, 0, 0},
		{"as busy", []int{900, 850}, 2, 0, 0, 0},
		{"not busy", []int{400, 0}, 2, 0, 0, 0},
		{"to the least busy", []int{900, 500, 200}, 3, 0, 2, 388},
		{"behind the front", []int{50, 20}, 1, 1, 0, 1000},
		{"behind the front, and idle", []int{50, 0}, 1, 1, 0, 1000},
	} {
		to, part := plan(c.shares, c.front, c.index)
		if part != c.part || part > 0 && to != c.to {
			t.Errorf("%s: unexpected plan; got %d‰ to %d; want %d‰ to %d", c.what, part, to, c.part, c.to)
		}
	}
}

// TestShare checks how much of a processor a loop is taken to use.
func TestShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ busy, all, used, want int }{
		{0, 0, 0, 0},
		{500, 500, 700, 500},    // others use some as well
		{1000, 1000, 500, 500},  // there is no more to be had
		{1000, 2000, 1900, 950}, // two that are busy
		{1000, 1500, 750, 500},
	} {
		if got := share(c.busy, c.all, c.used); got != c.want {
			t.Errorf("unexpected share of %+v; got %d", c, got)
		}
	}
}
