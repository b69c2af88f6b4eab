package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseWrkSuccess(t *testing.T) {
	t.Parallel()
	out := `Running 1s test @ http://127.0.0.1:1/
  1 threads and 64 connections
sluice-bench {"requests":100,"bytes":6600,"duration_us":1000000,"p50_us":870,"p99_us":1800,"p999_us":2000,"max_us":2100,"errors":{"connect":0,"read":3,"write":0,"status":0,"timeout":1}}
`
	r, err := parseWrk(out)
	if err != nil {
		t.Fatal(err)
	}
	want := wrkResult{Requests: 100, Bytes: 6600, Micros: 1_000_000, P50: 870, P99: 1800, P999: 2000, Max: 2100, Errors: loadErrors{Read: 3, Timeout: 1}}
	if r != want {
		t.Fatalf("unexpected result; got %+v; want %+v", r, want)
	}
	if err := r.Errors.err(); err == nil || err.Error() != "errors: read 3, timeout 1" {
		t.Fatalf("unexpected errors: %v", err)
	}
	if err := (loadErrors{}).err(); err != nil {
		t.Fatalf("unexpected error for no errors: %v", err)
	}
}

func TestParseWrkFailure(t *testing.T) {
	t.Parallel()
	f := func(out string) {
		t.Helper()
		if r, err := parseWrk(out); err == nil {
			t.Fatalf("expecting an error for %q; got %+v", out, r)
		}
	}
	f("")
	f("unable to connect to 127.0.0.1:1 Connection refused")
	f("sluice-bench {")
	f(`sluice-bench {"requests":0,"duration_us":0}`)
}

func TestWrkArgs(t *testing.T) {
	t.Parallel()
	f := func(s scenario, d time.Duration, want string) {
		t.Helper()
		if got := strings.Join(wrkArgs(s, d, "S", "URL"), " "); got != want {
			t.Fatalf("unexpected arguments; got %q; want %q", got, want)
		}
	}
	f(scenario{conns: 64, body: small}, 3*time.Second, "-t1 -c64 -d3s --timeout 5s -s S/report.lua URL")
	f(scenario{conns: 64, body: small, close: true}, 300*time.Millisecond, "-t1 -c64 -d1s --timeout 5s -s S/report.lua -H Connection: close URL")
	f(scenario{conns: 16, body: up}, 2500*time.Millisecond, "-t1 -c16 -d3s --timeout 5s -s S/upload.lua URL")
}
