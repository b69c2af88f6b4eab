package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor runs a service as systemd does with Type=notify and
// NotifyAccess=main: it passes sockets and the address to report to, and believes
// the main process alone.
type supervisor struct {
	t    *testing.T
	path string // of its socket

	// mu protects the fields below.
	mu       sync.Mutex
	main     int
	messages []string // of main processes
	ignored  []string // of others
	mains    []int    // all there have been
}

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	v := &supervisor{t: t, path: filepath.Join(t.TempDir(), "notify")}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: v.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) }), err); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		buf, oob := make([]byte, 4096), make([]byte, 128)
		for {
			n, m, _, _, err := c.ReadMsgUnix(buf, oob)
			if err != nil {
				return
			}
			v.receive(string(buf[:n]), oob[:m])
		}
	}()
	return v
}

// receive takes a message as systemd would.
func (v *supervisor) receive(message string, oob []byte) {
	var pid int
	if messages, err := unix.ParseSocketControlMessage(oob); err == nil && len(messages) > 0 {
		if cred, err := unix.ParseUnixCredentials(&messages[0]); err == nil {
			pid = int(cred.Pid)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if pid != v.main {
		v.ignored = append(v.ignored, fmt.Sprintf("%d: %s", pid, message))
		return
	}
	v.messages = append(v.messages, message)
	for _, line := range strings.Split(message, "\n") {
		if rest, ok := strings.CutPrefix(line, "MAINPID="); ok {
			v.main, _ = strconv.Atoi(rest)
			v.mains = append(v.mains, v.main)
		}
	}
}

// start starts a program with sockets, by name, that it is to listen on.
func (v *supervisor) start(program string, sockets []*net.TCPListener, names []string, environ []string, args ...string) *process {
	v.t.Helper()
	environ = append(slices.Clone(environ), "NOTIFY_SOCKET="+v.path, "WATCHDOG_USEC=300000")
	script := `exec "$@"`
	if len(sockets) > 0 {
		script = `export LISTEN_PID=$$; exec "$@"`
		environ = append(environ, fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	p := newProcess(v.t, "/bin/sh", append([]string{"-c", script, "sh", program}, args...)...)
	for _, s := range sockets {
		f, err := s.File()
		if err != nil {
			v.t.Fatal(err)
		}
		defer f.Close()
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, f)
	}
	v.mu.Lock() // what it sends is looked at once it is known to be the main process
	p.run(environ...)
	v.main = p.cmd.Process.Pid
	v.mains = append(v.mains, v.main)
	v.mu.Unlock()
	v.t.Cleanup(func() { // those that took its place, too
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, pid := range v.mains[1:] {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return p
}

// pid returns the main process.
func (v *supervisor) pid() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.main
}

// heard returns how many messages of main processes had a line.
func (v *supervisor) heard(line string) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.messages {
		if slices.Contains(strings.Split(m, "\n"), line) {
			n++
		}
	}
	return n
}

// alive reports whether a process is there and no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// copyProgram copies sluice to a place where it can be replaced.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	if out, err := exec.Command("cp", built.path("sluice"), to+".new").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

// hasReloaded waits until a reload that began has ended.
func (v *supervisor) hasReloaded(n int) {
	v.t.Helper()
	eventually(v.t, "a new process is ready, or has failed", func() bool { return v.heard("READY=1") == n })
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, m := range v.messages {
		if strings.HasPrefix(m, "RELOADING=1\nMONOTONIC_USEC=") && slices.ContainsFunc(v.messages[i:], func(m string) bool { return strings.Contains(m, "READY=1") }) {
			return
		}
	}
	v.t.Errorf("no reload has been said to begin, and then to end: %q", v.messages)
}

// systemdSocket returns a socket as systemd binds it.
func systemdSocket(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// patience is how long something may take on the slowest machine.
const patience = 30 * time.Second
