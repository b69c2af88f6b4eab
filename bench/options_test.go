package main

import (
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestParseSluicesSuccess(t *testing.T) {
	t.Parallel()
	f := func(values, args []string, want ...sluiceBinary) {
		t.Helper()
		got, err := parseSluices(values, args)
		if err != nil {
			t.Fatalf("unexpected error for %v: %s", values, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("unexpected binaries; got %v; want %v", got, want)
		}
	}
	f([]string{"bin/sluice"}, nil, sluiceBinary{name: "sluice", path: "bin/sluice"})
	f([]string{"./a=b/sluice"}, nil, sluiceBinary{name: "sluice", path: "./a=b/sluice"})
	f([]string{"old=x", "new=y"}, []string{"--l4-driver=copy --strategy=p2c", "new=--log-level=warn"},
		sluiceBinary{"old", "x", []string{"--l4-driver=copy", "--strategy=p2c"}},
		sluiceBinary{"new", "y", []string{"--l4-driver=copy", "--strategy=p2c", "--log-level=warn"}})
}

func TestParseSluicesFailure(t *testing.T) {
	t.Parallel()
	f := func(values, args []string) {
		t.Helper()
		if got, err := parseSluices(values, args); err == nil {
			t.Fatalf("expecting an error for %v %v; got %v", values, args, got)
		}
	}
	f([]string{"a", "b"}, nil)
	f([]string{"a=x", "a=y"}, nil)
	f([]string{"nginx=x"}, nil)
	f([]string{"a=x"}, []string{"b=--foo"})
}

func TestParseRunFailure(t *testing.T) {
	t.Parallel()
	f := func(want string, args ...string) {
		t.Helper()
		_, err := parseRun(args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error for %v; got %v; want %q", args, err, want)
		}
	}
	f("--rate 0", "--rate=0")
	f("--duration", "--duration=2m")
	f("--rounds", "--rounds=-1")
	f("--idle-conns", "--idle-conns=0")
	f("--name", "--name=a/b")
	f("argument", "quick")
	f("checkout", "--root=/nonexistent")
	f("not defined", "--foo")
}

func TestParseRunDefaults(t *testing.T) {
	t.Parallel()
	full, err := parseRun(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := parseRun([]string{"--quick"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if full.name != "full" || full.rounds != fullRounds || quick.name != "quick" || quick.duration != quickDuration {
		t.Fatalf("unexpected defaults: %+v, %+v", full, quick)
	}
	if n, m := strings.Count(full.scenarios, ","), strings.Count(quick.scenarios, ","); n <= m {
		t.Fatalf("unexpected scenarios: quick has %d, full %d", m, n)
	}
}

func TestSelectScenarios(t *testing.T) {
	t.Parallel()
	all := scenarios(idleConnCount)
	got, err := selectScenarios(all, "l4-keepalive, l?-idle")
	if err != nil || len(got) != 3 {
		t.Fatalf("unexpected scenarios: %v, %v", got, err)
	}
	for _, bad := range []string{"", "l4-foo", "l4-keepalive,x*", "["} {
		if got, err := selectScenarios(all, bad); err == nil {
			t.Fatalf("expecting an error for %q; got %v", bad, got)
		}
	}
	seen := make(map[string]bool)
	for _, s := range all {
		if seen[s.name] {
			t.Fatalf("unexpected second scenario %s", s.name)
		}
		seen[s.name] = true
	}
	// A chart of a scenario that does not exist would be missed by nobody.
	for _, c := range allCharts() {
		for _, col := range c.columns {
			if !seen[col.scenario] {
				t.Errorf("chart %s shows the unknown scenario %s", c.suffix, col.scenario)
			}
		}
	}
}

func TestNeutralCommand(t *testing.T) {
	t.Parallel()
	got := neutralCommand([]string{"--sluice", "old=/somewhere/else/sluice", "--sluice=/src/sluice/bin/sluice", "--root=/src/sluice"}, "/src/sluice")
	if want := "bench --sluice old=sluice --sluice=bin/sluice --root=."; got != want {
		t.Fatalf("unexpected command; got %q; want %q", got, want)
	}
}
