package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// binaries builds sluice and echo once and returns the directory they are in.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-browser-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir, "./cmd/sluice", "./cmd/echo")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build: %w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
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
	p := &process{t: t, cmd: exec.Command(filepath.Join(dir, name), args...), done: make(chan struct{}), addrs: make(map[string]string)}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
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
		} else if _, rest, ok := strings.Cut(line, "msg=listening"); ok { // echo's
			_, addr, _ := strings.Cut(rest, "addr=")
			addr, _, _ = strings.Cut(addr, " ")
			p.addrs[""] = strings.Trim(addr, `"`)
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

// cpus is how many there are.
func cpus() int { return runtime.NumCPU() }

// ask returns what the control plane answers to a GET, decoded.
func ask[T any](p *process, path string) (v T) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.addr("admin") + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		p.t.Fatalf("cannot read %s: %v", path, err)
	}
	return v
}

// changes returns what operators have changed, one in a line.
func (p *process) changes() string {
	p.t.Helper()
	var all []string
	for _, c := range ask[struct {
		Changes []struct{ ID, Value, Reason string }
	}](p, "/admin/changes").Changes {
		all = append(all, c.ID+"="+c.Value+" ("+c.Reason+")")
	}
	return strings.Join(all, "\n")
}

func echos(t *testing.T, n int, args ...string) (all []*process, addrs []string) {
	t.Helper()
	for i := range n {
		e := start(t, "echo", append([]string{"--listen", "127.0.0.1:0", "--name", fmt.Sprint("echo-", i+1)}, args...)...)
		all, addrs = append(all, e), append(addrs, e.addr(""))
	}
	return all, addrs
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

// load sends requests to url until the test ends, some at a time.
func load(t *testing.T, url string, at int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: at}, Timeout: 10 * time.Second}
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for ctx.Err() == nil {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) // the URL is a good one
				if resp, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
}
