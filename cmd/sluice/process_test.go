package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The end-to-end tests run the real binaries. They are built once, by
// TestMain. Most of their time is spent on waiting, so that more of them run
// beside each other than there are cores, unless somebody says otherwise.

// binaries is where TestMain has put sluice and echo.
type binaries struct{ dir string }

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// built is set by TestMain before any test runs and never changed.
var built binaries

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sluice-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if out, err := exec.Command("go", "build", "-o", dir, "sluice/cmd/sluice", "sluice/cmd/echo").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot build the commands: %v\n%s", err, out)
			return 1
		}
		built = binaries{dir}
		flag.Parse()
		if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
			_ = f.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0)))
		}
		return m.Run()
	}())
}

// process is a running command whose log, on stderr, is read line by line.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}          // closed when it has ended
	keep func(line string) bool // which lines are kept; nil means all

	// mu protects the fields below.
	mu    sync.Mutex
	log   strings.Builder
	addrs map[string]string // by listener, or "" for a line without one
	bound chan struct{}     // closed and replaced with every new address
}

// start runs a command until the test ends; its standard output goes to the
// log too.
func start(t *testing.T, name string, environ []string, args ...string) *process {
	t.Helper()
	return startPath(t, built.path(name), environ, args...)
}

// startPath is start with the path of whatever program.
func startPath(t *testing.T, path string, environ []string, args ...string) *process {
	t.Helper()
	return newProcess(t, path, args...).run(environ...)
}

func newProcess(t *testing.T, path string, args ...string) *process {
	return &process{t: t, cmd: exec.Command(path, args...), done: make(chan struct{}), addrs: make(map[string]string), bound: make(chan struct{})}
}

// run starts it and reads its log.
func (p *process) run(environ ...string) *process {
	t := p.t
	t.Helper()
	p.cmd.Env = append(os.Environ(), environ...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.read(stderr)
		_ = p.cmd.Wait() // its code is read from ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.cmd.Path, p.text())
		}
	})
	return p
}

func (p *process) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		line := s.Text()
		listener, addr := parseListening(line)
		p.mu.Lock()
		if p.keep == nil || p.keep(line) {
			p.log.WriteString(line + "\n")
		}
		if addr != "" {
			p.addrs[listener] = addr
			close(p.bound)
			p.bound = make(chan struct{})
		}
		p.mu.Unlock()
	}
}

// parseListening reads a line of sluice, in JSON, or of echo, in text.
func parseListening(line string) (listener, addr string) {
	var j struct{ Msg, Listener, Addr string }
	if json.Unmarshal([]byte(line), &j) == nil {
		if j.Msg == "listening" {
			return j.Listener, j.Addr
		}
		return "", ""
	}
	if _, rest, ok := strings.Cut(line, "msg=listening"); ok {
		_, addr, _ = strings.Cut(rest, "addr=")
		addr, _, _ = strings.Cut(addr, " ")
		return "", strings.Trim(addr, `"`)
	}
	return "", ""
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// addr waits until the process has said where the listener (l4, l7, admin,
// health, or "" for echo) is bound.
func (p *process) addr(listener string) string {
	p.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		addr, bound := p.addrs[listener], p.bound
		p.mu.Unlock()
		if addr != "" {
			return addr
		}
		select {
		case <-bound:
		case <-p.done:
			p.t.Fatalf("the process ended before it was listening:\n%s", p.text())
		case <-deadline:
			p.t.Fatalf("the process does not say where %q listens:\n%s", listener, p.text())
		}
	}
}

// signal sends s.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		p.t.Fatalf("the process does not end:\n%s", p.text())
	}
	return p.cmd.ProcessState.ExitCode()
}

// get returns the status and body of an HTTP answer, status 0 if there is
// none.
func get(url string) (status int, body string) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// shownBackend is a backend as /admin/backends shows it.
type shownBackend struct {
	ID, Address, Status, State, Reason string
	Eligible                           bool
	Connections, Active                int

	TransitionsUp   int `json:"transitions_up"`
	TransitionsDown int `json:"transitions_down"`
	Ejections       int
	Word            string
}

// backends returns what /admin/backends shows, by address.
func backends(t *testing.T, admin string) map[string]shownBackend {
	t.Helper()
	status, body := get("http://" + admin + "/admin/backends")
	var all struct {
		Services []struct{ Backends []shownBackend }
	}
	if err := json.Unmarshal([]byte(body), &all); status != http.StatusOK || err != nil {
		t.Fatalf("cannot read the backends: status %d, %v: %s", status, err, body)
	}
	byAddr := make(map[string]shownBackend)
	for _, s := range all.Services {
		for _, b := range s.Backends {
			byAddr[b.Address] = b
		}
	}
	return byAddr
}

// eventually waits until ok returns true and returns how long that took.
func eventually(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("does not happen: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}
