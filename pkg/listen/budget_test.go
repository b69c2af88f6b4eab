package listen

import (
	"math"
	"sync"
	"testing"
)

func takeAll(s *share) (n int) {
	for s.take() {
		n++
	}
	return n
}

// TestBudgetIsShared has one listener take all there is but what is kept for
// the others, and then nothing be exceeded whoever asks.
func TestBudgetIsShared(t *testing.T) {
	t.Parallel()
	b := NewBudget(240)
	one := b.join(2)
	if n := takeAll(one); n != 120 {
		t.Fatalf("unexpected connections of a listener alone; got %d; want 120", n)
	}
	for range 120 {
		one.give()
	}
	two, three := b.join(2), b.join(2)
	if n := takeAll(one); n != 100 { // 40 of 240 are kept for two others
		t.Fatalf("unexpected connections of a flood; got %d; want 100", n)
	}
	if n := takeAll(two); n != 10 {
		t.Fatalf("unexpected connections of the second; got %d; want 10", n)
	}
	if n := takeAll(three); n != 10 {
		t.Fatalf("unexpected connections of the third; got %d; want 10", n)
	}
	if b.used != 240 {
		t.Fatalf("unexpected use: %d", b.used)
	}
	for range 50 {
		one.give()
	}
	if n := takeAll(two); n != 50 { // one and three have their floors
		t.Fatalf("unexpected connections of the second; got %d; want 50", n)
	}
	for range 60 {
		two.give()
	}
	two.leave()
	for range 10 {
		three.give()
	}
	three.leave()
	if n := takeAll(one); n != 70 || b.used != 240 {
		t.Fatalf("unexpected connections of the one that is left: %d; %d used", n, b.used)
	}
}

// TestBudgetHolds takes and gives from all sides.
func TestBudgetHolds(t *testing.T) {
	t.Parallel()
	b := NewBudget(100)
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			s := b.join(1 + i)
			for range 500 {
				n := takeAll(s)
				b.mu.Lock()
				if b.used > b.total || b.owed < 0 {
					t.Errorf("unexpected use: %d of %d, %d owed", b.used, b.total, b.owed)
				}
				b.mu.Unlock()
				for range n {
					s.give()
				}
			}
			s.leave()
		})
	}
	wg.Wait()
	if b.used != 0 || b.owed != 0 {
		t.Fatalf("unexpected rest: %d used, %d owed", b.used, b.owed)
	}
}

// TestBudgetResizes takes all, and what is given back after there is less does
// not come again until there is room.
func TestBudgetResizes(t *testing.T) {
	t.Parallel()
	b := NewBudget(math.MaxInt)
	one, two := b.join(10), b.join(1)
	for range 100 {
		if !one.take() || !two.take() {
			t.Fatal("a budget without limit has one")
		}
	}
	b.Resize(550)
	if one.take() || two.take() {
		t.Fatal("something is given that there is not")
	}
	for range 60 {
		one.give()
	}
	if n := takeAll(one); n != 5 {
		t.Fatalf("unexpected connections once there is room; got %d; want 5", n)
	}
}
