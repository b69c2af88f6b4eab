package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve returns the address of a server on which each request is answered
// with status, after what wait says of the n-th.
func serve(t *testing.T, status int, wait func(n int64) time.Duration) string {
	t.Helper()
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(wait(n.Add(1)))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, smallBody)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func atOnce(int64) time.Duration { return 0 }

func TestGenerator(t *testing.T) {
	t.Parallel()
	addr := serve(t, http.StatusOK, atOnce)
	r, err := generator{addr: addr, rate: 500, conns: 8, time: 600 * time.Millisecond, warmup: 100 * time.Millisecond}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.sent != 300 || r.latency.TotalCount() != 250 {
		t.Fatalf("unexpected counts; got %d sent, %d counted; want 300, 250", r.sent, r.latency.TotalCount())
	}
	if r.elapsed < 590*time.Millisecond {
		t.Fatalf("unexpected haste: %s", r.elapsed)
	}
}

// TestGeneratorCountsStalls holds up one request in a way that a closed loop
// would notice once: in an open loop it delays all that were due meanwhile.
func TestGeneratorCountsStalls(t *testing.T) {
	t.Parallel()
	const stall = 400 * time.Millisecond
	addr := serve(t, http.StatusOK, func(n int64) time.Duration {
		if n == 20 {
			return stall
		}
		return 0
	})
	r, err := generator{addr: addr, rate: 200, conns: 1, time: time.Second}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.sent != 200 {
		t.Fatalf("unexpected number of requests; got %d; want 200", r.sent)
	}
	// 80 were due while it lasted, half of them with more than half of it ahead.
	late := int64(0)
	for _, b := range r.latency.Distribution() {
		if b.From > int64(stall/2) {
			late += b.Count
		}
	}
	if late < 35 {
		t.Fatalf("unexpected number of late requests; got %d; want at least 35", late)
	}
}

func TestGeneratorFailure(t *testing.T) {
	t.Parallel()
	f := func(addr, want string) {
		t.Helper()
		_, err := generator{addr: addr, rate: 100, conns: 2, time: 100 * time.Millisecond}.run(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %v; want %q", err, want)
		}
	}
	f("nonsense", "cannot use address")
	f("127.0.0.1:1", "cannot connect")
	f(serve(t, http.StatusServiceUnavailable, atOnce), "503")

	closing := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer closing.Close()
	f(strings.TrimPrefix(closing.URL, "http://"), "closed a connection")
}

func TestGeneratorStops(t *testing.T) {
	t.Parallel()
	addr := serve(t, http.StatusOK, atOnce)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := generator{addr: addr, rate: 100, conns: 2, time: time.Minute}.run(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 5*time.Second {
		t.Fatalf("unexpected end: %v after %s", err, time.Since(begin))
	}
}

func TestHoldConns(t *testing.T) {
	t.Parallel()
	held, err := holdConns(t.Context(), serve(t, http.StatusOK, atOnce), 50)
	defer held.close()
	if err != nil || len(held.conns) != 50 {
		t.Fatalf("unexpected connections: %d, %v", len(held.conns), err)
	}
	if held, err := holdConns(t.Context(), "127.0.0.1:1", 5); err == nil {
		held.close()
		t.Fatal("expecting an error where nobody listens")
	}
}
