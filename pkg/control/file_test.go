package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childFile names the file that a child of this test writes until it is
// killed.
const childFile = "SLUICE_CONTROL_TEST_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		writeUntilKilled(path)
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes version after version, of which each sets two
// changes to its own number, and says which are done.
func writeUntilKilled(path string) {
	s, err := OpenFile(path, func(broken string, err error) { fmt.Println("broken", broken, err); os.Exit(3) })
	if err != nil {
		fmt.Println("broken", err)
		os.Exit(3)
	}
	b := NewBook(context.Background(), Config{Store: s, Journal: NewJournal(), Logger: slog.New(slog.DiscardHandler)})
	fmt.Println("open")
	for {
		v := strconv.FormatUint(b.Overlay().Version%60000+1, 10)
		set := []Change{backendChange("10.0.0.1:80", Weight, v), backendChange("10.0.0.2:80", Weight, v)}
		out, err := b.Do(context.Background(), Order{Set: set})
		if err != nil {
			fmt.Println("broken", err)
			os.Exit(3)
		}
		fmt.Println(out.Version)
	}
}

// TestFileKill kills a writer at random moments: what is found afterwards is
// what it said was done, or one version more, and never a part of one.
func TestFileKill(t *testing.T) {
	t.Parallel()
	kills := 200
	if testing.Short() {
		kills = 30
	}
	path := filepath.Join(t.TempDir(), "state.json")
	var last uint64
	for n := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childFile+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The moment is a random one within the first write, or within those
		// that follow it: counted from what the writer says, however long it
		// took to start.
		lines, from := bufio.NewScanner(out), n%2
		for line := 0; lines.Scan(); line++ {
			if line == from {
				time.AfterFunc(time.Duration(rand.IntN(6_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
			if line == 0 && lines.Text() == "open" {
				continue
			}
			v, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				if strings.HasPrefix(lines.Text(), "broken") {
					t.Fatalf("kill %d: %s", n, lines.Text())
				}
				break // half a line
			}
			last = v
		}
		_ = cmd.Process.Kill() // where it fell silent before its moment
		_ = cmd.Wait()         // it was killed
		s, err := OpenFile(path, func(broken string, err error) { t.Errorf("kill %d: the file is broken: %v", n, err) })
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if o.Version != last && o.Version != last+1 {
			t.Fatalf("kill %d: version %d was done, the file has %d", n, last, o.Version)
		}
		if o.Version > 0 {
			want := strconv.FormatUint((o.Version-1)%60000+1, 10)
			for _, c := range o.Changes() {
				if c.Value != want || o.Len() != 2 {
					t.Fatalf("kill %d: version %d has %v", n, o.Version, o.Changes())
				}
			}
		}
		last = o.Version
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
			t.Fatalf("kill %d: left behind are %v", n, left)
		}
	}
	if last == 0 {
		t.Fatal("nothing was ever written")
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	var moved []string
	open := func() *Book {
		t.Helper()
		s, err := OpenFile(path, func(broken string, _ error) { moved = append(moved, broken) })
		if err != nil {
			t.Fatal(err)
		}
		return NewBook(t.Context(), Config{Store: s, Journal: NewJournal(), Running: twoMembers(), Logger: slog.New(slog.DiscardHandler)})
	}
	b := open()
	if _, err := b.Do(t.Context(), Order{Set: []Change{backendChange("10.0.0.1:80", Drain, "")}}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("unexpected file: %v, %v", info, err)
	}
	again := open()
	if !again.Overlay().Equal(b.Overlay()) || again.Overlay().Len() != 1 {
		t.Fatalf("unexpected overlay after a restart: %v", again.Overlay())
	}
	// Two processes with one file: neither loses what the other did.
	if _, err := again.Do(t.Context(), Order{Set: []Change{backendChange("10.0.0.1:80", Weight, "2")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Do(t.Context(), Order{Set: []Change{backendChange("10.0.0.2:80", Weight, "3")}, IfMatch: "1"}); !errors.Is(err, ErrStale) {
		t.Fatalf("unexpected error of a stale version: %v", err)
	}
	if out, err := b.Do(t.Context(), Order{Set: []Change{backendChange("10.0.0.2:80", Weight, "3")}}); err != nil || out.Version != 3 || b.Overlay().Len() != 3 {
		t.Fatalf("unexpected outcome: %+v, %v", out, err)
	}
	// What is broken is moved aside.
	for _, bad := range []string{"", "{", "\x00\x01", `{"format":1,"version":"x"}`, strings.Repeat(" ", maxFile+2)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		moved = nil
		if o := open().Overlay(); o.Len() != 0 || len(moved) != 1 {
			t.Fatalf("unexpected overlay of a broken file: %v, moved %v", o, moved)
		}
		if kept, err := os.ReadFile(moved[0]); err != nil || string(kept) != bad {
			t.Fatalf("the broken file was not kept: %q, %v", kept, err)
		}
	}
	// What a newer sluice wrote is left alone.
	newer := `{"format":99}`
	if err := os.WriteFile(path, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open().Do(t.Context(), Order{Set: []Change{backendChange("10.0.0.1:80", Drain, "")}}); !errors.Is(err, ErrNewer) {
		t.Fatalf("unexpected error of a newer file: %v", err)
	}
	if kept, _ := os.ReadFile(path); string(kept) != newer {
		t.Fatalf("what a newer sluice wrote was changed: %q", kept)
	}
}

// TestFileFollow changes and removes the file behind a book's back.
func TestFileFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	s, err := OpenFile(path, func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(t, s, twoMembers())
	if _, err := b.Do(t.Context(), Order{Set: []Change{backendChange("10.0.0.1:80", Drain, "")}}); err != nil {
		t.Fatal(err)
	}
	other, err := OpenFile(path, func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	o, _ := other.Load(t.Context())
	if err := other.Swap(t.Context(), o, o.With(Edit{Set: []Change{mustCheck(t, backendChange("10.0.0.1:80", Weight, "7"))}})); err != nil {
		t.Fatal(err)
	}
	await(t, b, "change by another process", func(o Overlay) bool { return o.Word("web", "10.0.0.1:80").Weight.Weight == 7 })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await(t, b, "restored file", func(o Overlay) bool { return o.Version == 3 })
	if o, err := other.Load(t.Context()); err != nil || o.Len() != 2 {
		t.Fatalf("what was in force was not written again: %v, %v", o, err)
	}
}

func TestFileCannot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none", "state.json"), dir} {
		if _, err := OpenFile(path, func(string, error) {}); err == nil {
			t.Errorf("no error for %q", path)
		}
	}
	path := filepath.Join(dir, "state.json")
	s, err := OpenFile(path, func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(t, s, twoMembers())
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	order := Order{Set: []Change{backendChange("10.0.0.1:80", Drain, "")}}
	if _, err := b.Do(t.Context(), order); !errors.Is(err, ErrNotKept) || b.Overlay().Len() != 0 {
		t.Fatalf("unexpected error of a directory that is gone: %v, %v", err, b.Overlay())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Do(t.Context(), order); err != nil {
		t.Fatalf("no change once the directory is back: %v", err)
	}
}
