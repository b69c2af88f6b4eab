package gate

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkRemember is what it costs to remember a request, by several at once.
func BenchmarkRemember(b *testing.B) {
	g := &Gate{name: ":80", cfg: Config{Recent: NewRecent()}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		t := &Ticket{g: g, start: moments{wall: time.Now()}}
		t.from.requestID = make([]byte, 0, uuidLen)
		for n := uint64(0); pb.Next(); n++ {
			t.from.requestID = appendUUID(t.from.requestID[:0], t.start.wall, n, n<<40)
			t.remember(200, time.Millisecond)
		}
	})
}

// TestRememberIsBounded remembers more requests than there is room for.
func TestRememberIsBounded(t *testing.T) {
	t.Parallel()
	r := NewRecent()
	k := &Ticket{g: &Gate{name: ":80", cfg: Config{Recent: r}}, start: moments{wall: time.Now()}}
	const n = 2 * RecentRequests
	for i := range n {
		k.from.requestID = fmt.Appendf(nil, "id-%d", i)
		k.remember(200, time.Millisecond)
	}
	known := 0
	for i := range n {
		known += len(r.Find(fmt.Sprintf("id-%d", i)))
	}
	if known != RecentRequests || len(r.Find(fmt.Sprintf("id-%d", n-1))) != 1 || len(r.Find("id-0")) != 0 {
		t.Errorf("unexpected number of requests that are known; got %d; want %d, the last ones", known, RecentRequests)
	}
}
