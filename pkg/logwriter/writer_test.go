package logwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// sink is an output that does what it is told. Each Write asks take, if that is
// not nil, how much it takes.
type sink struct {
	// mu protects the fields below.
	mu   sync.Mutex
	text bytes.Buffer
	take func(p []byte) (int, error)
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	take := s.take
	s.mu.Unlock()
	n, err := len(p), error(nil)
	if take != nil {
		n, err = take(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p[:n])
	return n, err
}

func (s *sink) let(take func(p []byte) (int, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take = take
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func newWriter(t *testing.T, out io.Writer, size int) (*Writer, func(reason string) uint64) {
	t.Helper()
	set := metrics.NewSet()
	w := New(Config{Out: out, Size: size, Metrics: set, Tell: func(w io.Writer, n int, err error) {
		fmt.Fprintf(w, "lost %d: %v\n", n, err)
	}})
	t.Cleanup(func() { _ = w.Close(t.Context()) })
	return w, func(reason string) uint64 {
		return set.GetOrCreateCounter(`sluice_log_lost_lines_total{reason="` + reason + `"}`).Get()
	}
}

func write(t *testing.T, w io.Writer, format string, args ...any) {
	t.Helper()
	if n, err := fmt.Fprintf(w, format, args...); n == 0 || err != nil {
		t.Fatalf("unexpected end of a write: %d, %v", n, err)
	}
}

func closeIt(t *testing.T, w *Writer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestOrder writes from several goroutines; each one's lines stay in order,
// whole, and none is lost.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := &sink{}
	w, lost := newWriter(t, s, 0)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				fmt.Fprintf(w, "%d %d\n", g, i)
			}
		})
	}
	wg.Wait()
	closeIt(t, w)
	next := make(map[int]int)
	for line := range strings.Lines(s.String()) {
		var g, i int
		if _, err := fmt.Sscanf(line, "%d %d\n", &g, &i); err != nil || next[g] != i {
			t.Fatalf("unexpected line %q after %d", line, next[g])
		}
		next[g]++
	}
	if len(next) != 4 || next[0]+next[1]+next[2]+next[3] != 800 || lost("slow_output") != 0 {
		t.Fatalf("unexpected lines: %v, %d lost", next, lost("slow_output"))
	}
}

// TestNobodyReads fills a pipe: no write waits, what has no room is counted,
// and said where it is missing once somebody reads.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer out.Close()
	w, lost := newWriter(t, out, 4096)
	line := strings.Repeat("x", 1023) + "\n"
	wrote := 0
	for lost("slow_output") < 5 { // more than the pipe and the queue take
		write(t, w, "%s", line)
		if wrote++; wrote > 10000 {
			t.Fatal("nothing is lost")
		}
	}
	dropped := int(lost("slow_output"))
	read := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		read <- string(b)
	}()
	closeIt(t, w)
	out.Close()
	text := <-read
	told := 0
	for l := range strings.Lines(text) {
		var n int
		if _, err := fmt.Sscanf(l, "lost %d: <nil>\n", &n); err == nil {
			told += n
		}
	}
	if got := strings.Count(text, line); got != wrote-dropped || told != dropped {
		t.Fatalf("unexpected output: %d lines of %d, of which %d were lost, and %d said to be", got, wrote, dropped, told)
	}
}

// TestReaderGoes breaks the output and mends it again.
func TestReaderGoes(t *testing.T) {
	t.Parallel()
	s := &sink{}
	w, lost := newWriter(t, s, 0)
	s.let(func([]byte) (int, error) { return 0, syscall.EPIPE })
	write(t, w, "one\ntwo\n")
	wait(t, func() bool { return lost("write_error") == 2 })
	write(t, w, "three\n")
	wait(t, func() bool { return lost("write_error") == 3 })
	s.let(nil)
	write(t, w, "four\n")
	closeIt(t, w)
	if got, want := s.String(), "lost 3: broken pipe\nfour\n"; got != want {
		t.Fatalf("unexpected output %q; want %q", got, want)
	}
}

// TestDiskFull takes a part of a line; the next one begins a line of its own.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := &sink{}
	w, lost := newWriter(t, s, 0)
	s.let(func([]byte) (int, error) { return 2, syscall.ENOSPC })
	write(t, w, "one\n")
	wait(t, func() bool { return lost("write_error") == 1 })
	s.let(nil)
	write(t, w, "two\n")
	closeIt(t, w)
	if got, want := s.String(), "on\nlost 1: no space left on device\ntwo\n"; got != want {
		t.Fatalf("unexpected output %q; want %q", got, want)
	}
}

// TestNotBlocking writes to a full output that somebody else has made not to
// block.
func TestNotBlocking(t *testing.T) {
	t.Parallel()
	s := &sink{}
	w, lost := newWriter(t, s, 0)
	calls := 0
	s.let(func(p []byte) (int, error) {
		if calls++; calls < 4 {
			return 1, syscall.EAGAIN
		}
		return len(p), nil
	})
	write(t, w, "one two\n")
	closeIt(t, w)
	if got := s.String(); got != "one two\n" || lost("write_error") != 0 {
		t.Fatalf("unexpected output %q, %d lost", got, lost("write_error"))
	}
}

// TestPatient holds the output up: a patient writer waits, and takes nobody's
// room.
func TestPatient(t *testing.T) {
	t.Parallel()
	s := &sink{}
	w, lost := newWriter(t, s, 1000)
	release := make(chan struct{})
	begun := make(chan struct{}, 1)
	s.let(func(p []byte) (int, error) {
		select {
		case begun <- struct{}{}:
		default:
		}
		<-release
		return len(p), nil
	})
	write(t, w, "begin\n")
	<-begun // what follows stays in the queue
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 20 {
			fmt.Fprintf(w.Patient(), "%s\n", strings.Repeat("p", 99))
		}
	}()
	wait(t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.queue) == 500 })
	write(t, w, "%s\n", strings.Repeat("l", 399))
	if n := lost("slow_output"); n != 0 {
		t.Fatalf("unexpected loss of %d lines", n)
	}
	close(release)
	<-ended
	closeIt(t, w)
	if got := strings.Count(s.String(), "\n"); got != 22 || lost("slow_output") != 0 {
		t.Fatalf("unexpected output of %d lines, %d lost", got, lost("slow_output"))
	}
}

// TestCloseIsBounded closes a writer whose output is stuck.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	s := &sink{}
	w, lost := newWriter(t, s, 100)
	release := make(chan struct{})
	defer close(release)
	s.let(func(p []byte) (int, error) { <-release; return len(p), nil })
	write(t, w, "one\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("unexpected error %v", err)
	}
	write(t, w, "late\n")
	write(t, w.Patient(), "late\n")
	if n := lost("slow_output"); n != 2 {
		t.Fatalf("unexpected loss of %d lines; want 2", n)
	}
}

// wait waits until ok.
func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("does not happen")
		}
	}
}
