package h2

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// binaries builds sluice and h2spec once and returns the directory they are in.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-h2-")
	if err != nil {
		return "", err
	}
	for from, packages := range map[string][]string{"../..": {"./cmd/sluice"}, ".": {"github.com/summerwind/h2spec/cmd/h2spec"}} {
		cmd := exec.Command("go", append([]string{"build", "-o", dir + "/"}, packages...)...)
		cmd.Dir = from
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot build: %w: %s", err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	if role := os.Getenv(roleKey); role != "" {
		os.Exit(play(role))
	}
	code := m.Run()
	if dir, err := binaries(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// process is a program that runs until the test ends.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex
	addrs map[string]string
	log   strings.Builder
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return run(t, exec.Command(filepath.Join(dir, name), args...))
}

// run starts a program.
func run(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, done: make(chan struct{}), addrs: make(map[string]string)}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Env = append(p.cmd.Env, "GRPC_GO_LOG_SEVERITY_LEVEL=ERROR")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SLUICE_") && !strings.HasPrefix(v, "CONSUL_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.read(errs)
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

func (p *process) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		line := s.Text()
		var j struct{ Msg, Listener, Addr string }
		p.mu.Lock()
		p.log.WriteString(line + "\n")
		if json.Unmarshal([]byte(line), &j) == nil && j.Msg == "listening" {
			p.addrs[j.Listener] = j.Addr
		} else if addr, ok := strings.CutPrefix(line, "listening="); ok { // a role's
			p.addrs[""] = addr
		}
		p.mu.Unlock()
	}
}

// addr waits until the process says where a listener is bound.
func (p *process) addr(listener string) (addr string) {
	p.t.Helper()
	eventually(p.t, "it listens", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		addr = p.addrs[listener]
		select {
		case <-p.done:
			p.t.Fatalf("it has ended:\n%s", p.log.String())
		default:
		}
		return addr != ""
	})
	return addr
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > 60*time.Second {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

// text returns what the process has logged.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}
