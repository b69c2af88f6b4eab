package deploy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// programs is where TestMain has put sluice and echo.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sluice-deploy-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		cmd := exec.Command("go", "build", "-o", dir, "sluice/cmd/sluice", "sluice/cmd/echo")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot build the commands: %v\n%s", err, out)
			return 1
		}
		programs = dir
		return m.Run()
	}())
}

// running is a program that runs until the test ends, and its log.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	// mu protects the field below.
	mu  sync.Mutex
	log strings.Builder
}

// start runs a program with nothing but environ for an environment.
func start(t *testing.T, environ []string, path string, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: exec.Command(path, args...), done: make(chan struct{})}
	r.cmd.Env = environ
	return r.run()
}

func (r *running) run() *running {
	r.t.Helper()
	pipe, w := io.Pipe()
	r.cmd.Stdout, r.cmd.Stderr = w, w
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		_ = r.cmd.Wait() // its code is read from ProcessState
		w.Close()
	}()
	go func() {
		for s := bufio.NewScanner(pipe); s.Scan(); {
			r.mu.Lock()
			r.log.WriteString(s.Text() + "\n")
			r.mu.Unlock()
		}
	}()
	r.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.done
		if r.t.Failed() {
			r.t.Logf("log of %s:\n%s", r.cmd, r.text())
		}
	})
	return r
}

func (r *running) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// addr waits until sluice, or echo with an empty kind, has said where a listener
// is bound.
func (r *running) addr(kind string) (addr string) {
	r.t.Helper()
	eventually(r.t, "it says where it listens", func() bool {
		select {
		case <-r.done:
			r.t.Fatal("it has ended")
		default:
		}
		for _, line := range strings.Split(r.text(), "\n") {
			var j struct{ Msg, Listener, Addr string }
			if json.Unmarshal([]byte(line), &j) == nil && j.Msg == "listening" && j.Listener == kind {
				addr = j.Addr
			} else if _, rest, ok := strings.Cut(line, "msg=listening addr="); ok && kind == "" {
				addr = rest
			}
		}
		return addr != ""
	})
	return addr
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 60*time.Second {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

// get returns the status and the body of an answer, 0 and what is wrong if there
// is none. It keeps no connection: one through a TCP listener would count as load
// of its backend.
func get(url string) (status int, body string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
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

// found returns the path of a program of the system, or skips the test.
func found(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("%s is not there", filepath.Base(names[0]))
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// output runs a command and returns what it writes.
func output(t *testing.T, environ []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// backends runs n backends and returns them and their addresses.
func backends(t *testing.T, n int, args ...string) (all []*running, addrs []string) {
	t.Helper()
	for range n {
		b := start(t, os.Environ(), filepath.Join(programs, "echo"), append([]string{"--listen=127.0.0.1:0"}, args...)...)
		all = append(all, b)
	}
	for _, b := range all {
		addrs = append(addrs, b.addr(""))
	}
	return all, addrs
}

// healthcheck asks the sluice at addr how it is, and returns what it says.
func healthcheck(program, addr string) (string, error) {
	cmd := exec.Command(program, "healthcheck")
	cmd.Env = append(os.Environ(), "SLUICE_ADMIN="+addr)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
