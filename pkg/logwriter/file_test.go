package logwriter

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestFile renames a file away and opens it again; what was there stays, and a
// failure leaves lines where they went.
func TestFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path, old := filepath.Join(dir, "access"), filepath.Join(dir, "access.1")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, "one\n")
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	write(t, f, "two\n")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, f, "three\n")
	if got := read(t, old) + "|" + read(t, path); got != "before\none\ntwo\n|three\n" {
		t.Fatalf("unexpected files: %q", got)
	}
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err == nil {
		t.Fatal("a folder that is gone is no error")
	}
	write(t, f, "four\n")
	if got := read(t, filepath.Join(dir+".gone", "access")); !strings.HasSuffix(got, "four\n") {
		t.Fatalf("unexpected file: %q", got)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPipe opens a pipe that nobody reads, which must not hang.
func TestPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := OpenFile(path); err == nil {
		t.Fatal("a pipe that nobody reads is no error")
	}
}
