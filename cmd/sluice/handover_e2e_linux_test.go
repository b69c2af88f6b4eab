package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHandOver replaces the program of a running sluice twice, under load of both
// layers and with a thousand connections that stay: nothing is refused and
// nothing is cut, and the supervisor knows whom to supervise.
func TestHandOver(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"epoll", "copy"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "sluice")
			copyProgram(t, program)
			_, addrs := startEchos(t, 2)
			v := newSupervisor(t)
			first := v.start(program, nil, nil, nil, "--l4=127.0.0.1:0=echo", "--l7=127.0.0.1:0", "--route=/=echo", "--l4-driver="+driver,
				"--backend=echo="+addrs[0], "--backend=echo="+addrs[1], "--admin=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--drain-delay=0s")
			eventually(t, "it is ready", func() bool { return v.heard("READY=1") == 1 })
			l4, l7, admin := first.addr("l4"), first.addr("l7"), first.addr("admin")
			old := v.pid()

			clients := append(hold(t, 500, "l4", l4), hold(t, 500, "l7", l7)...)
			exchangeAll(t, clients)
			connections, requests := startLoad(200, l4, ""), startLoad(500, "", l7)
			eventually(t, "the load is there", func() bool { return connections.count("tcp") > 50 && requests.count("get") > 100 })

			replace := func(n int) {
				t.Helper()
				before := v.pid()
				copyProgram(t, program) // a new version
				if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
					t.Fatal(err)
				}
				v.hasReloaded(n)
				if v.pid() == before {
					t.Fatal("the new process is not the main one")
				}
				c, r := connections.count("tcp"), requests.count("get")
				eventually(t, "the load goes on", func() bool { return connections.count("tcp") > c+50 && requests.count("get") > r+100 })
			}
			replace(2)
			between := v.pid()
			exchangeAll(t, clients) // with the first one, still
			replace(3)
			eventually(t, "the second one has nothing left to do", func() bool { return !alive(between) })
			if !alive(old) {
				t.Fatal("the first one has ended, though connections are open")
			}
			for _, c := range clients {
				if c.kind == "l4" {
					if err := c.exchange(); err != nil {
						t.Fatalf("a connection that stays, after two replacements: %v", err)
					}
				}
				c.Close()
			}
			eventually(t, "the first one ends", func() bool { return !alive(old) })
			if n := strings.Count(first.text(), `"msg":"handed over: done","stage":"done","cut":0`); n != 2 {
				t.Errorf("unexpected number of processes that have ended without cutting anything; got %d; want 2", n)
			}
			if status, body := get("http://" + admin + "/readyz"); status != 200 {
				t.Errorf("unexpected readiness of the third process: %d: %s", status, body)
			}
			if err := connections.end(); err != nil {
				t.Errorf("connections failed: %v", err)
			}
			if err := requests.end(); err != nil {
				t.Errorf("requests failed: %v", err)
			}
			last := v.pid()
			eventually(t, "the watchdog is answered", func() bool { return v.heard("WATCHDOG=1") > 1 })
			if err := syscall.Kill(last, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it says that it stops, and does", func() bool { return v.heard("STOPPING=1") == 1 && !alive(last) })
		})
	}
}

// TestHandOverFails starts successors that cannot serve: the old process goes on,
// and the next attempt counts.
func TestHandOverFails(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "sluice")
	copyProgram(t, program)
	_, addrs := startEchos(t, 1)
	v := newSupervisor(t)
	s := v.start(program, nil, nil, nil, "--l4=127.0.0.1:0=echo", "--backend=echo="+addrs[0], "--admin=off", "--drain-delay=0s")
	eventually(t, "it is ready", func() bool { return v.heard("READY=1") == 1 })
	old, l4 := v.pid(), s.addr("l4")
	if err := os.WriteFile(program+".bad", []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(program+".bad", program); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGUSR2)
	v.hasReloaded(2)
	if !strings.Contains(s.text(), "it ended before it was ready: exit status 3") {
		t.Error("the log does not say why")
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGUSR2)
	v.hasReloaded(3)
	if err := exchangeTCP(l4); err != nil || v.pid() != old {
		t.Errorf("the old process does not go on: %v", err)
	}
	copyProgram(t, program)
	s.signal(syscall.SIGUSR2)
	v.hasReloaded(4)
	eventually(t, "the old process ends", func() bool { return !alive(old) })
	if err := exchangeTCP(l4); err != nil || v.pid() == old {
		t.Errorf("the new process does not serve: %v", err)
	}
}

// TestSocketActivation has sockets passed by name, by number and by address, and
// restarts with clients that come while nobody is there: they wait, and the
// sockets are as good as before.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	db, web, admin, spare := systemdSocket(t), systemdSocket(t), systemdSocket(t), systemdSocket(t)
	run := func() (*supervisor, *process) {
		v := newSupervisor(t)
		p := v.start(built.path("sluice"), []*net.TCPListener{db, web, admin, spare}, []string{"db", "unknown", "admin", "spare"}, nil,
			"--l4=fd@db=echo", "--l7=fd@4", "--route=/=echo", "--backend=echo="+addrs[0], "--admin="+admin.Addr().String(), "--drain-delay=0s")
		eventually(t, "it is ready", func() bool { return v.heard("READY=1") == 1 })
		return v, p
	}
	for round := range 3 {
		waiting := make(chan error, 10)
		for range 10 {
			go func() { waiting <- exchangeTCP(db.Addr().String()) }()
		}
		v, p := run()
		for range 10 {
			select {
			case err := <-waiting:
				if err != nil {
					t.Errorf("round %d: a connection that came before the process: %v", round, err)
				}
			case <-time.After(patience):
				t.Fatalf("round %d: a connection that came before the process is not served", round)
			}
		}
		if status, body := get("http://" + web.Addr().String() + "/x"); status != 200 {
			t.Errorf("round %d: unexpected answer: %d: %s", round, status, body)
		}
		if status, body := get("http://" + admin.Addr().String() + "/readyz"); status != 200 {
			t.Errorf("round %d: unexpected readiness: %d: %s", round, status, body)
		}
		if !strings.Contains(p.text(), "sockets that were passed to this process are nobody's") || !strings.Contains(p.text(), spare.Addr().String()) {
			t.Errorf("round %d: the log does not tell of the socket that nobody uses", round)
		}
		if round == 0 {
			if err := syscall.Kill(v.pid(), syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			v.hasReloaded(2)
		}
		if round == 1 { // a successor gets them, too, and knows that they are kept
			before := v.pid()
			if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			v.hasReloaded(2)
			http.DefaultClient.CloseIdleConnections() // else it waits for the next request on them
			eventually(t, "the old process ends", func() bool { return !alive(before) })
			if err := exchangeTCP(db.Addr().String()); err != nil {
				t.Errorf("the successor does not serve: %v", err)
			}
		}
		pid := v.pid()
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it ends", func() bool { return !alive(pid) })
	}
	if code, _, stderr := try(t, nil, "--l4=fd@db=echo", "--backend=echo="+addrs[0], "--admin=off"); code != exitFailed || !strings.Contains(stderr, `no socket \"db\" was passed`) {
		t.Errorf("unexpected end without the socket: %d: %s", code, stderr)
	}
}
