package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Offer is a listening socket that a successor gets.
type Offer struct {
	// Name is what the successor asks for it by.
	Name string
	// Socket is what is copied; it stays the caller's.
	Socket *net.TCPListener
	// Kept reports that systemd has it, too.
	Kept bool
}

// Command is how a successor is started.
type Command struct {
	// Path is the program and Args its arguments, the name first.
	Path string
	Args []string
	// Environ is its environment, less what was for this process alone.
	Environ []string
}

// Successor is a process that was started to go on where this one stops.
type Successor struct {
	process *os.Process
	ready   *os.File
}

// Start starts a successor with copies of the sockets, and of the standard
// streams. The caller calls Await.
func Start(c Command, offers []Offer) (*Successor, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	defer w.Close()
	own := append(Names(), "WATCHDOG_PID") // which names this process
	environ := slices.DeleteFunc(slices.Clone(c.Environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(own, name)
	})
	environ = append(environ, Variable+"="+encode(firstFD, offers))
	passed := []syscall.Conn{w}
	for _, o := range offers {
		passed = append(passed, o.Socket)
	}
	var pid int
	// Not by os/exec, which makes each descriptor that it passes a blocking one,
	// in this process too.
	err = withFiles([]uintptr{0, 1, 2}, passed, func(files []uintptr) (err error) {
		pid, _, err = syscall.StartProcess(c.Path, c.Args, &syscall.ProcAttr{Env: environ, Files: files})
		return err
	})
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("cannot start %s: %w", c.Path, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("cannot find process %d: %w", pid, err)
	}
	return &Successor{process, r}, nil
}

// withFiles calls f with files and the descriptors of conns, which are held
// meanwhile.
func withFiles(files []uintptr, conns []syscall.Conn, f func([]uintptr) error) error {
	if len(conns) == 0 {
		return f(files)
	}
	rc, err := conns[0].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = rc.Control(func(fd uintptr) { inner = withFiles(append(files, fd), conns[1:], f) })
	return errors.Join(err, inner)
}

// PID returns the successor's process ID.
func (s *Successor) PID() int { return s.process.Pid }

// Await returns once the successor says that it serves. If it ends before, or
// ctx does, it is killed and the error says so.
func (s *Successor) Await(ctx context.Context) error {
	defer s.ready.Close()
	defer context.AfterFunc(ctx, func() { _ = s.ready.SetReadDeadline(time.Unix(1, 0)) })()
	_, err := s.ready.Read(make([]byte, 1))
	if err == nil {
		go func() { _, _ = s.process.Wait() }() // it may end before this one does
		return nil
	}
	_ = s.process.Kill()
	state, waitErr := s.process.Wait()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("it was not ready in time: %w", ctx.Err())
	case waitErr != nil:
		return fmt.Errorf("it ended before it was ready: %w", waitErr)
	}
	return fmt.Errorf("it ended before it was ready: %s", state)
}
