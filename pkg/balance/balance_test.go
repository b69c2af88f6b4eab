package balance

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/pkg/backend"
)

func newBalancer(t testing.TB, strategy string, weights ...int) *Balancer {
	t.Helper()
	pool := backend.NewPool("web")
	var targets []backend.Target
	for i, w := range weights {
		id := fmt.Sprintf("%04d", i)
		targets = append(targets, backend.Target{ID: id, Address: "10.0.0.1:" + id, Weight: w})
	}
	pool.Set(targets)
	b, err := New(pool, strategy)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func weightsOf123(n int) []int {
	weights := make([]int, n)
	for i := range weights {
		weights[i] = 1 + i%3
	}
	return weights
}

func TestRoundRobinIsSmooth(t *testing.T) {
	t.Parallel()
	f := func(want string, weights ...int) {
		t.Helper()
		b := newBalancer(t, "round_robin", weights...)
		for range 2 { // the cycle repeats
			got := ""
			for range len(want) {
				chosen := b.Pick(Request{})
				got += string('a' + chosen.ID()[3] - '0')
				chosen.Release()
			}
			if got != want {
				t.Fatalf("unexpected order for %v; got %s; want %s", weights, got, want)
			}
		}
	}
	f("abc", 1, 1, 1)
	f("abc", 7, 7, 7)
	f("aabacaa", 5, 1, 1) // as nginx does
	f("aba", 2, 1)
	f("aba", 200, 100)
	f("abacaba", 4, 2, 1)
	f("a", 9)
}

// TestRoundRobinSurvivesChanges checks that a plan does not start the cycle
// again, which would favour the first backend when changes come often.
func TestRoundRobinSurvivesChanges(t *testing.T) {
	t.Parallel()
	b := newBalancer(t, "round_robin", 1, 1, 1)
	seen := ""
	for range 3 {
		seen += b.Pick(Request{}).ID()[3:]
		b.Pool().Snapshot().All[0].SetCondition(backend.Condition{State: backend.Up})
	}
	if seen != "012" {
		t.Fatalf("unexpected order across changes; got %s; want 012", seen)
	}
}

func TestRoundRobinScalesLongCycles(t *testing.T) {
	t.Parallel()
	b := newBalancer(t, "round_robin", 65535, 65534, 1)
	counts := draw(b, 3*maxCycle)
	if counts[2] == 0 {
		t.Fatal("unexpected: the lightest backend is never used")
	}
	if r := float64(counts[0]) / float64(counts[1]); r < 0.99 || r > 1.01 {
		t.Fatalf("unexpected ratio of two heavy backends: %v", r)
	}
}

// draw picks and releases n times and counts picks by backend.
func draw(b *Balancer, n int) []int {
	all := b.Pool().Snapshot().All
	index := make(map[*backend.Backend]int)
	for i, x := range all {
		index[x] = i
	}
	counts := make([]int, len(all))
	for range n {
		x := b.Pick(Request{})
		counts[index[x]]++
		x.Release()
	}
	return counts
}

// TestShares checks that every strategy uses idle backends by weight. The
// bound is six standard deviations of a binomial draw.
func TestShares(t *testing.T) {
	t.Parallel()
	f := func(strategy string, weights ...int) {
		t.Helper()
		const n = 60000
		counts := draw(newBalancer(t, strategy, weights...), n)
		sum := 0
		for _, w := range weights {
			sum += w
		}
		for i, w := range weights {
			p := float64(w) / float64(sum)
			if diff := math.Abs(float64(counts[i]) - p*n); diff > 6*math.Sqrt(n*p*(1-p))+1 {
				t.Fatalf("unexpected share of backend %d with %s %v; got %d of %d; want about %.0f", i, strategy, weights, counts[i], n, p*n)
			}
		}
	}
	for _, s := range Names() { // those that hash pick by p2c without a key
		f(s, 1)
		f(s, 1, 1)
		f(s, 1, 1, 1)
		f(s, 3, 1)
		f(s, 10, 5, 1)
		f(s, 1, 2, 3, 4, 5, 6, 7)
	}
}

// TestLoadAware fills slots without giving them back: strategies that look at
// the load must level it by weight.
func TestLoadAware(t *testing.T) {
	t.Parallel()
	f := func(strategy string, slack float64, weights ...int) {
		t.Helper()
		b := newBalancer(t, strategy, weights...)
		sum := 0
		for _, w := range weights {
			sum += w
		}
		n := 100 * sum
		for range n {
			b.Pick(Request{})
		}
		for i, x := range b.Pool().Snapshot().All {
			want := float64(n * weights[i] / sum)
			if math.Abs(float64(x.Active())-want) > slack*want {
				t.Fatalf("unexpected load of backend %d with %s %v; got %d; want about %.0f", i, strategy, weights, x.Active(), want)
			}
		}
	}
	f("least_conn", 0.02, 1, 1, 1)
	f("least_conn", 0.02, 4, 2, 1)
	for _, s := range []string{"p2c", "p2c_ewma", "adaptive"} {
		f(s, 0.1, 1, 1, 1)
		f(s, 0.2, 4, 2, 1)
	}
}

func TestP2CAvoidsTheBusy(t *testing.T) {
	t.Parallel()
	b := newBalancer(t, "p2c", 1, 1)
	busy := b.Pool().Snapshot().All[0]
	for range 10 {
		busy.Acquire()
	}
	for range 9 { // below the busy one's load, both draws always lead to the other
		if b.Pick(Request{}) == busy {
			t.Fatal("unexpected pick of the busier of two backends")
		}
	}
}

func TestTriedIsAvoided(t *testing.T) {
	t.Parallel()
	for _, strategy := range Names() {
		b := newBalancer(t, strategy, 5, 1, 1)
		for range 100 {
			var tried Tried
			for n := range 3 {
				x := b.Pick(Request{Tried: tried, Key: mix(uint64(n)), HasKey: n != 1})
				if x == nil || tried.Has(x) {
					t.Fatalf("unexpected pick %v by %s with %d tried", x, strategy, tried.Len())
				}
				x.Release()
				tried.Add(x)
			}
			if x := b.Pick(Request{Tried: tried}); x != nil {
				t.Fatalf("unexpected pick by %s though all were tried", strategy)
			}
		}
	}
}

func TestEmptyAndSwitch(t *testing.T) {
	t.Parallel()
	for _, strategy := range Names() {
		b := newBalancer(t, strategy)
		if x := b.Pick(Request{}); x != nil {
			t.Fatalf("unexpected pick by %s from an empty pool", strategy)
		}
		b.Pool().Set([]backend.Target{{ID: "1", Address: "h:1", Weight: 1}, {ID: "2", Address: "h:2", Weight: 1}})
		for _, next := range Names() {
			if err := b.SetStrategy(next); err != nil {
				t.Fatal(err)
			}
			if x := b.Pick(Request{}); x == nil || b.Strategy() != next {
				t.Fatalf("unexpected pick %v after a switch to %s", x, next)
			}
		}
		for _, x := range b.Pool().Snapshot().All {
			x.SetCondition(backend.Condition{State: backend.Down})
		}
		if x := b.Pick(Request{}); x != nil {
			t.Fatalf("unexpected pick of a backend that is down by %s", strategy)
		}
	}
	if _, err := New(backend.NewPool("web"), "fastest"); err == nil || !strings.Contains(err.Error(), "p2c") {
		t.Fatalf("unexpected error for an unknown strategy: %v", err)
	}
	if err := newBalancer(t, "p2c").SetStrategy(""); err == nil {
		t.Fatal("unexpected success of a switch to no strategy")
	}
}

// TestConcurrently picks while membership and strategy change; every slot
// that was taken must be given back.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	b := newBalancer(t, "p2c", 1, 2, 3)
	first := b.Pool().Snapshot().All
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range uint64(2000) {
				if x := b.Pick(Request{Key: mix(i), HasKey: i%2 == 0}); x != nil {
					x.Observe(time.Millisecond, i%3 > 0)
					x.Release()
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 200 {
			first[i%3].SetCondition(backend.Condition{State: backend.States()[1+i%2]})
			if err := b.SetStrategy(Names()[i%len(Names())]); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for _, x := range first {
		if x.Active() != 0 {
			t.Fatalf("unexpected slots left on %s: %d", x.ID(), x.Active())
		}
	}
}

// TestSlotLimit picks with every strategy until all backends are full.
func TestSlotLimit(t *testing.T) {
	t.Parallel()
	for _, strategy := range Names() {
		b := newBalancer(t, strategy, 1, 2, 3)
		b.Pool().Limit(4, 0)
		req := Request{Key: mix(1), HasKey: true}
		var taken []*backend.Backend
		for range 12 {
			x := b.Pick(req)
			if x == nil {
				t.Fatalf("no backend from %s although there is room; %d are taken", strategy, len(taken))
			}
			taken = append(taken, x)
		}
		for _, x := range taken {
			if x.Active() != 4 {
				t.Fatalf("unexpected slots taken with %s: %d of %s", strategy, x.Active(), x.ID())
			}
		}
		if x := b.Pick(req); x != nil || !b.HasUntried(req.Tried) {
			t.Fatalf("unexpected pick by %s from a full pool", strategy)
		}
		taken[5].Release()
		if x := b.Pick(req); x != taken[5] {
			t.Fatalf("unexpected pick by %s; want the one with room", strategy)
		}
		b.Pool().Set(nil)
		if b.HasUntried(req.Tried) {
			t.Fatal("a pool without members is called full")
		}
	}
}
