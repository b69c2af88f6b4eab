package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// family starts children and ends every one of them, by its pid. Should the
// bench itself be killed, the kernel ends them: they are started by one thread
// that lives as long as the family, which is what Pdeathsig looks at.
type family struct {
	starts chan func()
	gone   chan struct{} // closed when the thread has ended
	once   sync.Once     // of close

	mu       sync.Mutex // protects the fields below
	children map[*child]struct{}
}

func newFamily() *family {
	f := &family{starts: make(chan func()), gone: make(chan struct{}), children: make(map[*child]struct{})}
	go func() {
		defer close(f.gone)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for start := range f.starts {
			start()
		}
	}()
	return f
}

// close ends every child that is left. Nothing can be started afterwards. It
// may be called more than once.
func (f *family) close() { f.once.Do(f.endAll) }

func (f *family) endAll() {
	f.mu.Lock()
	left := make([]*child, 0, len(f.children))
	for c := range f.children {
		left = append(left, c)
	}
	f.mu.Unlock()
	for _, c := range left {
		c.end()
	}
	close(f.starts)
	<-f.gone
}

// childSpec says what to start.
type childSpec struct {
	name   string // for messages
	path   string
	args   []string
	env    []string       // nil: the bench's own
	dir    string         // to run in, empty: the bench's own
	stop   syscall.Signal // what ends it quickly, with its workers if it has some
	onLine func(string)   // called with each line of its output; may be nil
}

// child is a running process. Its owner calls end.
type child struct {
	spec   childSpec
	family *family
	cmd    *exec.Cmd
	pid    int
	out    *tail
	done   chan struct{} // closed after err is set
	err    error
}

func (f *family) start(spec childSpec) (*child, error) {
	c := &child{spec: spec, family: f, out: &tail{onLine: spec.onLine}, done: make(chan struct{})}
	c.cmd = exec.Command(spec.path, spec.args...)
	c.cmd.Env, c.cmd.Dir = spec.env, spec.dir
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	// A worker that outlives its parent must not keep Wait from returning.
	c.cmd.WaitDelay = time.Second
	// A group of its own, so that Ctrl-C reaches the bench alone.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: spec.stop}

	started := make(chan error)
	f.starts <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", spec.name, err)
	}
	c.pid = c.cmd.Process.Pid
	f.mu.Lock()
	f.children[c] = struct{}{}
	f.mu.Unlock()
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// end ends the process and its descendants and returns when they are gone.
// It may be called more than once.
func (c *child) end() {
	tree, _ := processTree(c.pid) // an error means that it has ended
	_ = c.cmd.Process.Signal(c.spec.stop)
	select {
	case <-c.done:
	case <-time.After(stopTime):
		_ = c.cmd.Process.Kill()
	}
	for _, s := range tree {
		if s.pid != c.pid {
			killIfSame(s)
		}
	}
	<-c.done
	c.family.mu.Lock()
	delete(c.family.children, c)
	c.family.mu.Unlock()
}

// stopTime is how long a child may take to end when it is asked to.
const stopTime = 2 * time.Second

// killIfSame kills the process unless its pid is another's by now.
func killIfSame(s procStat) {
	for range 100 {
		now, err := readStat(s.pid)
		if err != nil || now.started != s.started || now.state == 'Z' {
			return
		}
		_ = syscall.Kill(s.pid, syscall.SIGKILL)
		time.Sleep(5 * time.Millisecond)
	}
}

// died returns an error with the last of the child's output if it has ended.
func (c *child) died() error {
	select {
	case <-c.done:
		how := "exit status 0"
		if c.err != nil {
			how = c.err.Error()
		}
		return fmt.Errorf("%s (pid %d) has ended by itself: %s; its last output:\n%s", c.spec.name, c.pid, how, c.out)
	default:
		return nil
	}
}

// tail is a writer that keeps the last output and shows each line to onLine.
type tail struct {
	onLine func(string)

	mu      sync.Mutex // protects the fields below
	kept    []byte
	partial []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if n := len(t.kept) - tailBytes; n > 0 {
		t.kept = append(t.kept[:0], t.kept[n:]...)
	}
	if t.onLine == nil {
		return len(p), nil
	}
	t.partial = append(t.partial, p...)
	for {
		line, rest, ok := bytes.Cut(t.partial, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		t.onLine(string(line))
		t.partial = append([]byte(nil), rest...)
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) == 0 {
		return "(none)"
	}
	return string(bytes.TrimSpace(t.kept))
}

// output runs a short command to its end and returns what it prints on both
// outputs, with or without an error.
func output(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	data, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return string(data), fmt.Errorf("cannot run %q: %w", path, err)
	}
	return string(data), nil
}

// isRoot reports whether the bench runs as root; servers that then change
// their user must be told not to, as they could not read the configuration.
func isRoot() bool { return os.Geteuid() == 0 }

// errStopped is what a run ends with that was interrupted.
var errStopped = errors.New("stopped by a signal")
