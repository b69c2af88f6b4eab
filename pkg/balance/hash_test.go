package balance

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"

	"sluice/pkg/backend"
)

// addrs returns n IPv4 addresses that follow each other.
func addrs(n int) []netip.Addr {
	out := make([]netip.Addr, n)
	for i := range out {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24+uint32(i))
		out[i] = netip.AddrFrom4(b)
	}
	return out
}

// placed returns the IDs of the backends that idle keys go to, those of
// addresses that follow each other.
func placed(b *Balancer, n int) []string {
	out := make([]string, n)
	for i, a := range addrs(n) {
		x := b.Pick(Request{Key: HashAddr(a), HasKey: true})
		out[i] = x.ID()
		x.Release()
	}
	return out
}

func hashes() []string { return []string{"ip_hash", "consistent_hash", "maglev"} }

// TestHashesStay holds the hashes to values of their own: another value would
// move the clients of whoever updates one of several sluices.
func TestHashesStay(t *testing.T) {
	t.Parallel()
	f := func(got, want uint64) {
		t.Helper()
		if got != want {
			t.Fatalf("unexpected hash; got %#x; want %#x", got, want)
		}
	}
	addr := func(s string) uint64 { return HashAddr(netip.MustParseAddr(s)) }
	f(addr("192.0.2.1"), 0x6b390e5096f79c83)
	f(addr("::ffff:192.0.2.1"), addr("192.0.2.1"))
	f(addr("2001:db8::1"), 0x504b8dce1c938e43)
	f(addr("fe80::1%eth0"), addr("fe80::1"))
	f(HashString(""), 0xf52a15e9a9b5e89b)
	f(HashString("n1/web-1"), 0xb8376f0ab4377482)
	if addr("192.0.2.1") == addr("192.0.2.2") || addr("2001:db8::1") == addr("2001:db8:1::") {
		t.Fatal("unexpected equal hashes of different addresses")
	}
	HashAddr(netip.Addr{}) // must not panic
}

// TestPlacementStays does the same for the tables.
func TestPlacementStays(t *testing.T) {
	t.Parallel()
	f := func(strategy string, want uint64) {
		t.Helper()
		sum := uint64(0)
		for _, id := range placed(newBalancer(t, strategy, weightsOf123(20)...), 1000) {
			sum = mix(sum ^ HashString(id))
		}
		if sum != want {
			t.Fatalf("unexpected placement by %s; its digest is %#x; want %#x", strategy, sum, want)
		}
	}
	f("ip_hash", 0x9aefd321cb552b17)
	f("consistent_hash", 0x9aefd321cb552b17)
	f("maglev", 0xfabff612288e80c8)
}

// TestHashShares checks the shares of keys. A ring's are rough, by the number
// of its points; Maglev's are exact but for the keys' own variance.
func TestHashShares(t *testing.T) {
	t.Parallel()
	f := func(strategy string, slack float64, weights ...int) {
		t.Helper()
		b := newBalancer(t, strategy, weights...)
		const n = 100000
		counts := make(map[string]int)
		for _, id := range placed(b, n) {
			counts[id]++
		}
		sum := 0
		for _, w := range weights {
			sum += w
		}
		for i, x := range b.Pool().Snapshot().All {
			p := float64(weights[i]) / float64(sum)
			diff := math.Abs(float64(counts[x.ID()]) - p*n)
			if diff > slack*p*n+6*math.Sqrt(n*p*(1-p)) {
				t.Fatalf("unexpected share of backend %d with %s %v; got %d of %d; want about %.0f", i, strategy, weights, counts[x.ID()], n, p*n)
			}
		}
	}
	for strategy, slack := range map[string]float64{"consistent_hash": 0.25, "maglev": 0.01} {
		f(strategy, slack, 1)
		f(strategy, slack, 1, 1)
		f(strategy, slack, 7, 7, 7)
		f(strategy, slack, 3, 1)
		f(strategy, slack, 100, 50, 10)
		f(strategy, slack, 1, 2, 3, 4, 5, 6, 7)
		f(strategy, slack, slices.Repeat([]int{10}, 50)...)
	}
	f("maglev", 0.01, 65535, 65534, 1000)
}

// TestHashDisruption takes one of n backends away and gives it back. Its own
// keys have to move; how many others do is what sets a strategy apart.
func TestHashDisruption(t *testing.T) {
	t.Parallel()
	const keys = 30000
	f := func(strategy string, n int, most float64, weight func(i int) int) {
		t.Helper()
		var targets []backend.Target
		for i := range n {
			id := fmt.Sprintf("%04d", i)
			targets = append(targets, backend.Target{ID: id, Address: "h:" + id, Weight: weight(i)})
		}
		pool := backend.NewPool("web")
		pool.Set(targets)
		b, err := New(pool, strategy)
		if err != nil {
			t.Fatal(err)
		}
		before := placed(b, keys)
		var moved, others float64
		const removals = 5
		for r := range removals {
			gone := r * (n - 1) / (removals - 1)
			pool.Set(slices.Delete(slices.Clone(targets), gone, gone+1))
			for i, id := range placed(b, keys) {
				switch {
				case id == before[i]:
				case before[i] == targets[gone].ID:
					moved++
				default:
					others++
				}
			}
			pool.Set(targets)
			if !slices.Equal(placed(b, keys), before) {
				t.Fatalf("unexpected placement by %s after backend %d of %d is back", strategy, gone, n)
			}
		}
		moved, others = moved/(keys*removals), others/(keys*removals)
		t.Logf("%s, %d backends: one that goes moves %.3f/N of the keys, and %.3f/N of others'", strategy, n, moved*float64(n), others*float64(n))
		if moved+others > most/float64(n) || moved < 0.7/float64(n) {
			t.Fatalf("unexpected disruption by %s of %d; %.4f + %.4f of the keys moved; want %.4f at most", strategy, n, moved, others, most/float64(n))
		}
		if strategy != "maglev" && others > 0 {
			t.Fatalf("unexpected keys of others that moved with %s of %d: %.5f", strategy, n, others)
		}
	}
	equal := func(int) int { return 1 }
	mixed := func(i int) int { return 10 + 10*(i%2) }
	f("consistent_hash", 10, 1.1, equal)
	f("consistent_hash", 100, 1.1, equal)
	f("consistent_hash", 10, 1.3, mixed)
	f("consistent_hash", 100, 1.3, mixed)
	f("maglev", 10, 1.1, equal)
	f("maglev", 100, 1.8, equal)
	f("maglev", 10, 1.3, mixed)
	f("maglev", 100, 2.1, mixed)
}

// TestBoundedLoad holds slots of a few hot keys, and of one alone: none of the
// backends may have more than its part of 1.25 times the average.
func TestBoundedLoad(t *testing.T) {
	t.Parallel()
	f := func(strategy string, distinct int, weights ...int) {
		t.Helper()
		b := newBalancer(t, strategy, weights...)
		sum := 0
		for _, w := range weights {
			sum += w
		}
		var taken []*backend.Backend
		for n := 1; n <= 3000; n++ {
			taken = append(taken, b.Pick(Request{Key: mix(uint64(n % distinct)), HasKey: true}))
			if n%3 == 0 { // some leave
				taken[0].Release()
				taken = taken[1:]
			}
			for i, x := range b.Pool().Snapshot().All {
				most := max(fewSlots, 1.25*float64(len(taken)+1)*float64(weights[i])/float64(sum)+1)
				if float64(x.Active()) > most && n%3 != 0 {
					t.Fatalf("unexpected load of backend %d by %s, %d keys, %v: %d of %d; want %.1f at most", i, strategy, distinct, weights, x.Active(), len(taken), most)
				}
			}
		}
	}
	for _, strategy := range []string{"consistent_hash", "maglev"} {
		for _, distinct := range []int{1, 3, 1000} {
			f(strategy, distinct, 1)
			f(strategy, distinct, 1, 1)
			f(strategy, distinct, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
			f(strategy, distinct, 5, 3, 1, 1)
		}
	}
}

// TestHashBalance checks that the bound is the pool's: a key that everybody asks
// for stays at one backend without one, and has its part and no more at 100 %.
func TestHashBalance(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"consistent_hash", "maglev"} {
		for percent, want := range map[int]int64{-1: 1000, 0: 313, 100: 250, 150: 375, 400: 1000} {
			b := newBalancer(t, strategy, 1, 1, 1, 1)
			b.Pool().SetPolicy(backend.Policy{HashBalance: percent})
			for range 1000 {
				b.Pick(Request{Key: mix(42), HasKey: true})
			}
			most := int64(0)
			for _, x := range b.Pool().Snapshot().All {
				most = max(most, x.Active())
			}
			if most != want {
				t.Errorf("unexpected largest load by %s at %d %%; got %d; want %d", strategy, percent, most, want)
			}
		}
	}
}

// TestHashKeepsFewTogether checks that a client's connections go to one
// backend while the pool is nearly idle.
func TestHashKeepsFewTogether(t *testing.T) {
	t.Parallel()
	for _, strategy := range hashes() {
		b := newBalancer(t, strategy, 1, 1, 1)
		first := b.Pick(Request{Key: mix(7), HasKey: true})
		for n := 2; n <= fewSlots; n++ {
			if x := b.Pick(Request{Key: mix(7), HasKey: true}); x != first {
				t.Fatalf("unexpected backend for connection %d by %s", n, strategy)
			}
		}
		if x := b.Pick(Request{Key: mix(7), HasKey: true}); x == first {
			t.Fatalf("unexpected backend for connection %d by %s: the same", fewSlots+1, strategy)
		}
	}
}

// TestBoundedLoadOfMany checks the bound where active slots are not counted
// anew for every pick, and that overflow has an order of its own.
func TestBoundedLoadOfMany(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"consistent_hash", "maglev"} {
		b := newBalancer(t, strategy, slices.Repeat([]int{1}, 200)...)
		const n = 10000
		for range n {
			b.Pick(Request{Key: 42, HasKey: true})
		}
		most := int64(math.Ceil(1.25 * n / 200))
		first := int64(0)
		for _, x := range b.Pool().Snapshot().All {
			first = max(first, x.Active())
		}
		if first > most || first < most-1 {
			t.Fatalf("unexpected largest load by %s; got %d; want %d", strategy, first, most)
		}
	}
}

// TestHashFailover checks that a retry of a key goes to the same next
// backend each time, and that no key means p2c.
func TestHashFailover(t *testing.T) {
	t.Parallel()
	for _, strategy := range hashes() {
		b := newBalancer(t, strategy, 1, 1, 1, 1, 1, 1, 1, 1)
		for key := uint64(1); key < 100; key++ {
			req := Request{Key: mix(key), HasKey: true}
			first := b.Pick(req)
			first.Release()
			req.Tried.Add(first)
			second := b.Pick(req)
			second.Release()
			if again := b.Pick(req); again != second || again == first {
				t.Fatalf("unexpected retry of %s at %s; got %s first, then %s", strategy, first.ID(), second.ID(), again.ID())
			} else {
				again.Release()
			}
		}
		b.Pool().Snapshot().All[0].Acquire()
		seen := make(map[string]bool)
		for range 200 {
			x := b.Pick(Request{})
			seen[x.ID()] = true
			x.Release()
		}
		if len(seen) < 7 {
			t.Fatalf("unexpected picks of %s without a key: only of %d backends", strategy, len(seen))
		}
	}
}

// TestHashManyAndUneven builds tables at the ends of their range.
func TestHashManyAndUneven(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"consistent_hash", "maglev"} {
		for _, weights := range [][]int{
			{backend.MaxWeight, backend.MaxWeight, 1},
			append(slices.Repeat([]int{1}, sized(2000)), backend.MaxWeight),
			slices.Repeat([]int{backend.MaxWeight}, sized(2000)),
			slices.Repeat([]int{1}, maxHashed+10),
		} {
			b := newBalancer(t, strategy, weights...)
			for key := range uint64(1000) {
				x := b.Pick(Request{Key: mix(key), HasKey: true})
				if x == nil {
					t.Fatalf("unexpected lack of a backend by %s of %d", strategy, len(weights))
				}
				x.Release()
			}
			b.Pick(Request{Key: math.MaxUint64, HasKey: true}).Release()
			b.Pick(Request{Key: 0, HasKey: true}).Release()
		}
	}
}
