package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStatSuccess(t *testing.T) {
	t.Parallel()
	f := func(data string, want procStat) {
		t.Helper()
		got, err := parseStat(data)
		if err != nil {
			t.Fatalf("unexpected error for %q: %s", data, err)
		}
		if got != want {
			t.Fatalf("unexpected state of %q; got %+v; want %+v", data, got, want)
		}
	}
	tail := " 1 2 3 4 5 6 7 8 9 10 100 23 0 0 20 0 1 0 4711 5000 77 18446744073709551615 0 0\n"
	f("12 (nginx) S"+tail, procStat{pid: 12, ppid: 1, ticks: 123, started: 4711, rssPages: 77, state: 'S'})
	f("12 (a) b (c) R"+tail, procStat{pid: 12, ppid: 1, ticks: 123, started: 4711, rssPages: 77, state: 'R'})
}

func TestParseStatFailure(t *testing.T) {
	t.Parallel()
	f := func(data string) {
		t.Helper()
		if got, err := parseStat(data); err == nil {
			t.Fatalf("expecting an error for %q; got %+v", data, got)
		}
	}
	f("")
	f("12 nginx S 1")
	f("x (nginx) S 1 2 3 4 5 6 7 8 9 10 100 23 0 0 20 0 1 0 4711 5000 77 0")
	f("12 (nginx) S 1 2 3")
	f("12 (nginx) S 1 2 3 4 5 6 7 8 9 10 x 23 0 0 20 0 1 0 4711 5000 77 0")
}

func TestParseRollup(t *testing.T) {
	t.Parallel()
	n, ok := parseRollup("00400000-7ffd ---p 0 00:00 0 [rollup]\nRss:                4620 kB\nPss: 1 kB\n")
	if !ok || n != 4620<<10 {
		t.Fatalf("unexpected size; got %d, %v; want %d", n, ok, 4620<<10)
	}
	if n, ok := parseRollup("Pss: 1 kB\n"); ok {
		t.Fatalf("unexpected size of nothing: %d", n)
	}
}

func TestClockTicks(t *testing.T) {
	t.Parallel()
	if n := clockTicks(); n < 1 || n > 10_000 {
		t.Fatalf("unexpected ticks per second: %d", n)
	}
}

func TestTreeUsage(t *testing.T) {
	t.Parallel()
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
		_ = strings.Repeat("x", 1000) // burn some ticks
	}
	u, err := treeUsage(os.Getpid(), clockTicks())
	if err != nil {
		t.Fatal(err)
	}
	if u.cpu <= 0 || u.rss < 1<<20 {
		t.Fatalf("unexpected usage of this test: %+v", u)
	}
}
