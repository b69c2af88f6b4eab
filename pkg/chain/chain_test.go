package chain

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestChain holds a chain against a slice, through thousands of random changes.
func TestChain(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	var c Chain[int]
	var want []int
	links := make([]Link[int], 10)
	for i := range links {
		links[i].Of = i
	}
	for range 10_000 {
		i := random.IntN(len(links))
		switch l := &links[i]; {
		case l.In():
			l.Remove()
			want = slices.DeleteFunc(want, func(j int) bool { return j == i })
		case random.IntN(2) == 0:
			c.AddFirst(l)
			want = slices.Insert(want, 0, i)
		default:
			c.AddLast(l)
			want = append(want, i)
		}
		var got []int
		for l := c.First(); l != nil; l = l.Next() {
			got = append(got, l.Of)
		}
		if !slices.Equal(got, want) || c.Len() != len(want) {
			t.Fatalf("seed %d: unexpected chain %v of %d; want %v", seed, got, c.Len(), want)
		}
		if l := c.Last(); (l == nil) != (len(want) == 0) || l != nil && l.Of != want[len(want)-1] {
			t.Fatalf("seed %d: unexpected last link %v; want that of %v", seed, l, want)
		}
	}
	links[0].Remove() // twice is once
	links[0].Remove()
}
