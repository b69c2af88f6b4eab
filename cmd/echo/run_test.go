package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// started is a running command.
type started struct {
	addr string
	code chan int // receives the exit code
}

// start runs the command until ctx ends and waits for its address.
func start(t *testing.T, ctx context.Context, args ...string) started {
	t.Helper()
	pr, pw := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer pw.Close()
		code <- run(ctx, args, io.Discard, pw)
	}()
	r := bufio.NewReader(pr)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("cannot read the log: %v; exit code %d", err, <-code)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with the pipe
	m := regexp.MustCompile(`msg=listening addr=(\S+)`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("unexpected first log line %q", line)
	}
	return started{m[1], code}
}

func (s started) wait(t *testing.T) {
	t.Helper()
	select {
	case code := <-s.code:
		if code != 0 {
			t.Fatalf("unexpected exit code; got %d; want 0", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the command does not end")
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := start(t, ctx, "--listen=127.0.0.1:0", "--name", "b1", "--mode=http")
	resp, err := http.Get("http://" + s.addr + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); string(got) != "b1 GET /x\n" {
		t.Fatalf("unexpected answer; got %q, %v", got, err)
	}
	cancel()
	s.wait(t)
}

// TestSignals is serial: a signal reaches every command of the process.
func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := start(t, t.Context(), "--listen=127.0.0.1:0")
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		s.wait(t)
	}
}

func TestFlagsFailure(t *testing.T) {
	t.Parallel()
	f := func(wants string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 2 {
			t.Fatalf("unexpected exit code with %q; got %d; want 2", args, code)
		}
		for _, want := range strings.Fields(wants) {
			if !strings.Contains(stderr.String(), want) {
				t.Fatalf("unexpected message with %q; got %q; want %q in it", args, stderr.String(), want)
			}
		}
		if stdout.Len() > 0 {
			t.Fatalf("unexpected output %q", stdout.String())
		}
	}
	f("--nope", "--nope")
	f("--latency", "--latency=fast")
	f("--latency -1s", "--latency=-1s")
	f("--fail 2", "--fail=2")
	f("--fail", "--fail=NaN")
	f(`--mode "udp"`, "--mode=udp")
	f(`--listen "9000"`, "--listen=9000")
	f(`"name=x" --`, "name=x")
	f("--mode --fail --latency", "--mode=x", "--fail=-1", "--latency=-1s") // all at once
}

func TestListenFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := start(t, ctx, "--listen=127.0.0.1:0")
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"--listen", s.addr}, io.Discard, &stderr); code != 1 {
		t.Fatalf("unexpected exit code; got %d; want 1", code)
	}
	if !strings.Contains(stderr.String(), s.addr) {
		t.Fatalf("unexpected log %q; want the address in it", stderr.String())
	}
	cancel()
	s.wait(t)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("unexpected outcome; got exit code %d and %q", code, stderr.String())
	}
	for _, flag := range []string{"--listen", "--mode", "--name", "--latency", "--fail"} {
		if !strings.Contains(stdout.String(), flag) {
			t.Fatalf("unexpected help; got %q; want %s in it", stdout.String(), flag)
		}
	}
}
