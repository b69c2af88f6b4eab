package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func wantContains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("expecting %q in:\n%s", want, text)
		}
	}
}

func TestPrintTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := sample().printTable(&out); err != nil {
		t.Fatal(err)
	}
	wantContains(t, out.String(), "l4-keepalive  sluice", "1.00 kB", "nginx ×1, haproxy ×1", "1.12 (0.75..1.50)", "0.62 (0.50..0.75)")
}

func TestWriteResult(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	if err := sample().write(dir); err != nil {
		t.Fatal(err)
	}
	back, err := readResult(filepath.Join(dir, "sample.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Measurements) != len(sample().Measurements) || back.Ratios[0].Median == 0 {
		t.Fatalf("unexpected result after reading: %+v", back)
	}
	md, err := os.ReadFile(filepath.Join(dir, "sample.md"))
	if err != nil {
		t.Fatal(err)
	}
	wantContains(t, string(md), "# Bench: sample", "Test CPU, 2 cores", "commit abc", "sluice 1", "bench --name sample",
		"**Failed measurement:** l4-keepalive, nginx, round 2: errors: read 3\n", "nbthread 2",
		"| l4-keepalive | CPU | sluice | 12.0 µs |", "![Memory per idle connection")
	for _, name := range []string{"sample-cpu-small.svg", "sample-memory.svg", "sample-latency-l4.svg"} {
		svg, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		wantContains(t, string(svg), "<svg", "sluice")
	}
	if _, err := os.Stat(filepath.Join(dir, "sample-cpu-bulk.svg")); err == nil {
		t.Fatal("unexpected chart without figures")
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Fatalf("unexpected text; got %q; want %q", got, want)
		}
	}
	f(formatMicros(0), "")
	f(formatMicros(870), "870 µs")
	f(formatMicros(1800), "1.80 ms")
	f(formatMicros(17000), "17 ms")
	f(formatMicros(2_500_000), "2.50 s")
	f(formatBytes(287), "0.28 kB")
	f(formatBytes(15<<20), "15.0 MB")
	f(formatCPU(12.34), "12.3")
	f(formatCPU(543.2), "543")
	f(formatRatio(Spread{}), "")
	f(formatRatio(Spread{1, 1, 1, 1}), "1.00")
	f(formatRatio(Spread{1, 0.9, 1.1, 3}), "1.00 (0.90..1.10)")
	f(shorten("a\n  listen 127.1.0.1:1;\n  listen 127.1.0.2:1;\n  listen 127.1.0.3:1;\n  listen 127.1.0.4:1;\nb"),
		"a\n  listen 127.1.0.1:1;\n  listen 127.1.0.2:1;\n    …\nb")
}
