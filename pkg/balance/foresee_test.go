package balance

import (
	"testing"

	"sluice/pkg/backend"
)

// TestForesee holds what is foreseen against the weights, and has no turn used up.
func TestForesee(t *testing.T) {
	t.Parallel()
	pool := backend.NewPool("web")
	pool.Set([]backend.Target{{ID: "a", Address: "10.0.0.1:80", Weight: 3}, {ID: "b", Address: "10.0.0.2:80", Weight: 1}})
	for _, strategy := range Names() {
		b, err := New(pool, strategy)
		if err != nil {
			t.Fatal(err)
		}
		got := b.Foresee(Request{Key: 7, HasKey: true}, 400)
		total := 0
		for x, n := range got {
			total += n
			if x.Active() != 0 {
				t.Errorf("%s: a slot was taken", strategy)
			}
		}
		if total != 400 {
			t.Errorf("%s: %d of 400 were foreseen", strategy, total)
		}
	}
	b, _ := New(pool, "round_robin")
	if got := b.Foresee(Request{}, 4); got[pool.Snapshot().All[0]] != 3 {
		t.Errorf("unexpected choices: %v", got)
	}
	if first := b.Pick(Request{}); first.ID() != "a" {
		t.Errorf("a turn was used up: %s", first.ID())
	}
}
