package backend

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func addrs(list ...string) (all []netip.AddrPort) {
	for _, s := range list {
		all = append(all, netip.MustParseAddrPort(s))
	}
	return all
}

func TestInTurns(t *testing.T) {
	t.Parallel()
	f := func(given, before, want []netip.AddrPort) {
		t.Helper()
		if got := inTurns(given, before); !slices.Equal(got, want) {
			t.Fatalf("unexpected order of %v after %v; got %v; want %v", given, before, got, want)
		}
	}
	six, four := addrs("[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1"), addrs("192.0.2.1:1", "192.0.2.2:1")
	f(six[:1], nil, six[:1])
	f(slices.Concat(six, four), nil, []netip.AddrPort{six[0], four[0], six[1], four[1], six[2]})
	f(slices.Concat(four, six[:1]), nil, []netip.AddrPort{four[0], six[0], four[1]})
	// What worked before is first, as long as it is there.
	f(slices.Concat(six, four), four[1:], []netip.AddrPort{four[1], six[0], four[0], six[1], six[2]})
	f(six, four, six)
	f(slices.Concat(six[:1], six[:1]), nil, six[:1])
}

// named returns a backend given by a name, of which lookup finds the addresses.
func named(lookup Lookup) *Backend {
	p := NewPool("web")
	p.SetLookup(lookup)
	added, _ := p.Set([]Target{{ID: "a", Address: "web.example:80", Weight: 1}})
	return added[0]
}

// TestNameMoves follows a name to where it leads now, keeps the last answer when
// there is none, and makes nobody wait who has one.
func TestNameMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Pointer[[]netip.AddrPort] // nil: an error
		var lookups atomic.Int64
		hang := make(chan struct{})
		close(hang)
		var hanging atomic.Pointer[chan struct{}]
		hanging.Store(&hang)
		b := named(func(context.Context, string) ([]netip.AddrPort, error) {
			lookups.Add(1)
			<-*hanging.Load()
			if all := now.Load(); all != nil {
				return *all, nil
			}
			return nil, errors.New("server misbehaving")
		})
		f := func(what string, want []netip.AddrPort) {
			t.Helper()
			got, err := b.Addresses(t.Context())
			if !slices.Equal(got, want) || (err == nil) != (want != nil) {
				t.Fatalf("%s: unexpected addresses %v, error %v; want %v", what, got, err, want)
			}
			synctest.Wait()
		}
		if _, ok := b.Known(); ok {
			t.Fatal("a name is known before it was looked up")
		}
		f("an error and no answer before", nil)
		one, two := addrs("192.0.2.1:80"), addrs("192.0.2.2:80")
		now.Store(&one)
		f("an answer", one)
		now.Store(&two)
		f("an answer that is fresh", one)
		time.Sleep(nameFresh + time.Millisecond)
		f("one that is not, while it is asked again", one)
		f("and then", two)
		before := lookups.Load()
		for range 10 {
			f("fresh", two)
		}
		if got := lookups.Load(); got != before {
			t.Fatalf("unexpected lookups: %d", got-before)
		}
		now.Store(&one)
		time.Sleep(nameStale + time.Millisecond)
		f("too old to be used", one)
		now.Store(nil)
		time.Sleep(time.Hour)
		f("an error after an answer", one)
		now.Store(&two)
		b.Unreached()
		f("one that answered no more", one)
		f("and then", two)

		// A server that hangs holds up those who have an answer by their own
		// limit alone, and all ask it once.
		hang = make(chan struct{})
		hanging.Store(&hang)
		time.Sleep(nameStale + time.Millisecond)
		before = lookups.Load()
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			if got, err := b.Addresses(ctx); !slices.Equal(got, two) || err != nil {
				t.Fatalf("unexpected addresses %v, error %v", got, err)
			}
			cancel()
		}
		if got := lookups.Load() - before; got != 1 {
			t.Fatalf("unexpected lookups beside each other: %d", got)
		}
		close(hang)
	})
}

// TestRace tries the next address when one fails or is slow, and takes the first
// that succeeds.
func TestRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type plan struct {
			after time.Duration // 0: never
			err   error
		}
		refused := errors.New("refused")
		f := func(want int, wantAfter time.Duration, tried int, plans ...plan) {
			t.Helper()
			all := addrs("192.0.2.0:1", "192.0.2.1:1", "192.0.2.2:1")[:len(plans)]
			var begun, dropped atomic.Int64
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			start := time.Now()
			got, addr, err := Race(ctx, all, func(ctx context.Context, a netip.AddrPort) (int, error) {
				begun.Add(1)
				i := slices.Index(all, a)
				if plans[i].after == 0 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				time.Sleep(plans[i].after)
				return i, plans[i].err
			}, func(int) { dropped.Add(1) })
			took := time.Since(start)
			if want < 0 {
				if err == nil || !errors.Is(err, refused) && !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("unexpected error %v", err)
				}
				for _, a := range all[:tried] {
					if !strings.Contains(err.Error(), a.String()) {
						t.Fatalf("the error does not name %v: %v", a, err)
					}
				}
			} else if err != nil || got != want || addr != all[want] {
				t.Fatalf("unexpected winner %d at %v, error %v; want %d", got, addr, err, want)
			}
			if took != wantAfter || int(begun.Load()) != tried {
				t.Fatalf("unexpected end after %v, %d tried; want %v, %d", took, begun.Load(), wantAfter, tried)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			for i, p := range plans[:tried] {
				if i != want && p.err == nil && p.after > 0 {
					dropped.Add(-1)
				}
			}
			if dropped.Load() != 0 && want >= 0 {
				t.Fatalf("unexpected connections dropped or kept: %d", dropped.Load())
			}
		}
		ms := time.Millisecond
		f(0, 10*ms, 1, plan{10 * ms, nil}, plan{10 * ms, nil})
		f(1, 20*ms, 2, plan{10 * ms, refused}, plan{10 * ms, nil}, plan{10 * ms, nil})
		f(1, 260*ms, 2, plan{0, nil}, plan{10 * ms, nil})
		f(0, 300*ms, 2, plan{300 * ms, nil}, plan{100 * ms, nil})
		f(1, 260*ms, 2, plan{300 * ms, nil}, plan{10 * ms, nil})
		f(2, 510*ms, 3, plan{0, nil}, plan{0, nil}, plan{10 * ms, nil})
		f(-1, 30*ms, 3, plan{10 * ms, refused}, plan{10 * ms, refused}, plan{10 * ms, refused})
		f(-1, 2*time.Second, 2, plan{0, nil}, plan{10 * ms, refused})
		f(-1, 10*ms, 1, plan{10 * ms, refused})
	})
}
