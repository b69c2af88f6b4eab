package backend

import (
	"sync"
	"testing"
)

// TestPicked takes and gives back slots from several goroutines: both counts
// are right in the end.
func TestPicked(t *testing.T) {
	t.Parallel()
	p := NewPool("web")
	p.Set([]Target{{ID: "a", Address: "127.0.0.1:1", Weight: 1}})
	p.Limit(8, 0)
	b := p.Snapshot().All[0]
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := uint64(0)
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				if i%2 == 0 {
					b.Acquire()
				} else if !b.TryAcquire() {
					continue
				}
				mu.Lock()
				taken++
				mu.Unlock()
				b.Release()
			}
		})
	}
	wg.Wait()
	if b.Active() != 0 || b.Picked() != taken {
		t.Fatalf("unexpected counts; got %d taken, %d ever; want 0, %d", b.Active(), b.Picked(), taken)
	}
	for range 8 {
		b.Acquire()
	}
	if b.TryAcquire() || b.HasRoom() || b.Active() != 8 {
		t.Fatalf("unexpected slot beyond the limit; %d are taken", b.Active())
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a slot that nobody took was given back")
		}
	}()
	for range 9 {
		b.Release()
	}
}
