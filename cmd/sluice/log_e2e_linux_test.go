package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startOnto runs sluice with its log on a pipe of a page, of which it reads
// until sluice says that it has started. The caller reads on, or does not.
func startOnto(t *testing.T, args ...string) (p *process, log *os.File) {
	t.Helper()
	log, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	if _, err := unix.FcntlInt(stderr.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	p = newProcess(t, built.path("sluice"), args...)
	p.cmd.Stderr = stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // its code is read from ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		log.Close()
	})
	for s := bufio.NewScanner(log); s.Scan(); {
		p.log.WriteString(s.Text() + "\n")
		if listener, addr := parseListening(s.Text()); addr != "" {
			p.addrs[listener] = addr
		}
		if strings.Contains(s.Text(), `"msg":"started"`) {
			return p, log
		}
	}
	t.Fatalf("sluice has not started:\n%s", p.text())
	return nil, nil
}

func lostLines(admin, reason string) float64 {
	return metric(admin, `sluice_log_lost_lines_total{reason="`+reason+`"}`)
}

// TestReloadSignal sends SIGHUP, which once ended the process without a drain.
func TestReloadSignal(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	s := startSluice(t, backendArgs(addrs)...)
	s.addr("l7")
	for range 3 {
		s.signal(syscall.SIGHUP)
	}
	eventually(t, "it is said", func() bool { return strings.Contains(s.text(), `"msg":"configuration reloaded"`) })
	for _, sig := range []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGPIPE, syscall.SIGXFSZ} {
		s.signal(sig)
	}
	if err := exchangeTCP(s.addr("l4")); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	s.signal(syscall.SIGHUP)
	eventually(t, "it drains", func() bool { return strings.Contains(s.text(), `"stage":"delay"`) })
	if err := exchangeTCP(s.addr("l4")); err != nil {
		t.Fatal(err)
	}
}

// TestLogReaderGoes closes the pipe that the log goes to. What is logged then
// once ended the process, in the middle of a drain too.
func TestLogReaderGoes(t *testing.T) {
	t.Parallel()
	echos, addrs := startEchos(t, 1)
	s, log := startOnto(t, "--l4=127.0.0.1:0=echo", "--backend=echo="+addrs[0], "--admin=127.0.0.1:0", "--drain-delay=0s")
	admin := s.addr("admin")
	log.Close()
	echos[0].signal(syscall.SIGKILL)
	eventually(t, "the end of the backend is logged", func() bool { return lostLines(admin, "write_error") > 0 })
	if state := backends(t, admin)[addrs[0]].State; state != "down" {
		t.Errorf("unexpected state of the backend: %s", state)
	}
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != exitOK {
		t.Errorf("unexpected end: %v", s.cmd.ProcessState)
	}
}

// TestLogFileFull writes the log to a file that may not grow.
func TestLogFileFull(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("prlimit"); err != nil {
		t.Skip("prlimit is not there")
	}
	_, addrs := startEchos(t, 1)
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("prlimit", "--fsize=512", built.path("sluice"), "--l4=127.0.0.1:0=echo", "--backend=echo="+addrs[0], "--admin=127.0.0.1:0", "--drain-delay=0s")
	cmd.Stderr = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() //nolint:errcheck // it has ended if all is well
	eventually(t, "the file is full", func() bool {
		info, err := os.Stat(file.Name())
		return err == nil && info.Size() == 512
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("unexpected end: %v", err)
	}
}

// TestNobodyReadsTheLog fills the pipe that the log goes to and leaves it so.
// Checks and a drain, which once waited for it, go on.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"epoll", "copy"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			echos, addrs := startEchos(t, 2)
			s, log := startOnto(t, append(backendArgs(addrs), "--l4=127.0.0.1:0=echo", "--l7=127.0.0.1:0", "--route=/=echo", "--admin=127.0.0.1:0",
				"--access-log", "--log-level=debug", "--drain-delay=100ms", "--drain-timeout=1s", "--l4-driver="+driver)...)
			admin, url := s.addr("admin"), "http://"+s.addr("l7")+"/"+strings.Repeat("x", 900)
			eventually(t, "the log overflows", func() bool {
				for range 100 {
					if status, _ := get(url); status != http.StatusOK {
						t.Fatalf("unexpected status %d", status)
					}
				}
				return metric(admin, "sluice_access_log_dropped_total") > 0 || lostLines(admin, "slow_output") > 0
			})
			echos[0].signal(syscall.SIGKILL)
			eventually(t, "a dead backend is out", func() bool { return backends(t, admin)[addrs[0]].State == "down" })
			s.signal(syscall.SIGTERM)
			select {
			case <-s.done:
			case <-time.After(20 * time.Second):
				t.Fatal("it does not end")
			}
			if code := s.wait(); code != exitOK {
				t.Errorf("unexpected end: %v", s.cmd.ProcessState)
			}
			log.Close()
		})
	}
}
