package dump

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestDumps runs a Dumper: files come, are whole, and the oldest go; what is none of
// its own stays.
func TestDumps(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	foreign := []string{"notes.prom", "sluice-x.prom", "sluice-20261129T194500.123Z-1.txt"}
	for _, name := range append(foreign, "sluice-20200101T000000.000Z-1.prom", ".sluice-20200101T000000.000Z-1.prom.part") {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * leftover)
	if err := os.Chtimes(filepath.Join(dir, ".sluice-20200101T000000.000Z-1.prom.part"), long, long); err != nil {
		t.Fatal(err)
	}
	set := metrics.NewSet()
	d, err := New(Config{Dir: dir, Interval: 2 * time.Millisecond, Keep: 3, MaxSize: 1 << 20, Metrics: set, Logger: slog.New(slog.DiscardHandler),
		Write: func(b *bytes.Buffer) { fmt.Fprintln(b, "sluice_x 1") }})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); set.GetOrCreateCounter(`sluice_metrics_dumps_total{result="written"}`).Get() < 10; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there are no dumps")
		}
	}
	d.Close()
	d.Close()
	var dumps []string
	for _, name := range names(t, dir) {
		if !slices.Contains(foreign, name) {
			dumps = append(dumps, name)
		}
	}
	if len(dumps) != 3 || len(names(t, dir)) != 3+len(foreign) {
		t.Fatalf("unexpected files: %v", names(t, dir))
	}
	for _, name := range dumps {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != "sluice_x 1\n" || err != nil {
			t.Errorf("unexpected dump %s: %q, %v", name, b, err)
		}
		if !strings.HasSuffix(name, fmt.Sprintf("Z-%d.prom", os.Getpid())) {
			t.Errorf("unexpected name %s", name)
		}
	}
}

// TestSize keeps no more bytes than there may be, but always the latest.
func TestSize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := &Dumper{cfg: Config{Dir: dir, Keep: 100, MaxSize: 250, Write: func(b *bytes.Buffer) { b.Write(make([]byte, 100)) }}}
	at := time.Unix(1000, 0)
	for i := range 5 {
		if err := d.dump(at.Add(time.Duration(i) * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, dir); len(got) != 2 || !strings.HasPrefix(got[1], "sluice-19700101T001644.000Z-") {
		t.Fatalf("unexpected files: %v", got)
	}
	d.cfg.MaxSize = 10
	if err := d.dump(at.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 1 || !strings.HasPrefix(got[0], "sluice-19700101T001740.000Z-") {
		t.Fatalf("unexpected files: %v", got)
	}
}

// TestCannot has no folder to begin with, and loses it later.
func TestCannot(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	set := metrics.NewSet()
	cfg := Config{Dir: file, Interval: time.Millisecond, Keep: 1, MaxSize: 1, Write: func(*bytes.Buffer) {}, Metrics: set, Logger: slog.New(slog.DiscardHandler)}
	if _, err := New(cfg); err == nil {
		t.Fatal("a file is no folder")
	}
	cfg.Dir = filepath.Join(t.TempDir(), "gone")
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfg.Dir); err != nil {
		t.Logf("a dump came between: %v", err)
		if err := os.RemoveAll(cfg.Dir); err != nil {
			t.Skip(err)
		}
	}
	for end := time.Now().Add(30 * time.Second); set.GetOrCreateCounter(`sluice_metrics_dumps_total{result="error"}`).Get() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a folder that is gone is no error")
		}
	}
	d.Close()
}
