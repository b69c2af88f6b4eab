package engine

import "testing"

// TestDivide checks that there are enough connections with any limit, and that
// all parts together are within it.
func TestDivide(t *testing.T) {
	t.Parallel()
	f := func(limit, cores, listeners, consul, want int) {
		t.Helper()
		loops := loopsFor(cores, limit)
		d := divide(limit, loops, listeners, 2, consul)
		if d.conns+d.pipes+d.idle+d.needed != limit {
			t.Errorf("the parts of %d are not the whole: %+v", limit, d)
		}
		if got := d.conns / 2; got < want {
			t.Errorf("too few connections with a limit of %d, %d cores, %d listeners; got %d; want %d: %+v", limit, cores, listeners, got, want, d)
		}
	}
	f(200, 2, 1, 0, 60)
	f(200, 2, 3, 0, 60)
	f(200, 64, 1, 0, 60)
	f(256, 2, 3, 128, 75)
	f(1024, 2, 3, 0, 350)
	f(1024, 16, 2, 128, 300)
	f(65536, 16, 10, 128, 26000)
	f(1<<30, 128, 10, 128, 1<<28)
}
