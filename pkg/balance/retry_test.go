package balance

import (
	"testing"

	"sluice/pkg/backend"
)

// TestRetryAvoidsKnownBad has all but one of the backends be down by their
// checks, and all used because that is too many: who was tried in vain by one of
// them goes to the one that is left, even if nothing is known of it yet.
func TestRetryAvoidsKnownBad(t *testing.T) {
	t.Parallel()
	for _, strategy := range Names() {
		for _, left := range []backend.State{backend.Up, backend.Unknown, backend.Unchecked} {
			b := newBalancer(t, strategy, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
			b.Pool().SetPolicy(backend.Policy{Panic: 50})
			all := b.Pool().Snapshot().All
			for _, x := range all[1:] {
				x.SetCondition(backend.Condition{State: backend.Down})
			}
			all[0].SetCondition(backend.Condition{State: left})
			if n := len(b.Pool().Snapshot().Eligible); n != len(all) {
				t.Fatalf("unexpected backends in use; got %d; want all %d", n, len(all))
			}
			for i := range all[1:] {
				var tried Tried
				tried.Add(all[1+i])
				x := b.Pick(Request{Tried: tried, Key: mix(uint64(i)), HasKey: true})
				if x != all[0] {
					t.Fatalf("unexpected retry by %s, to %s that is %s; want the one that is %s", strategy, x.Addr(), x.State(), left)
				}
				x.Release()
			}
			// With nobody else left, those will do.
			var tried Tried
			tried.Add(all[0])
			if x := b.Pick(Request{Tried: tried}); x == nil {
				t.Fatalf("no retry by %s", strategy)
			}
		}
	}
}
