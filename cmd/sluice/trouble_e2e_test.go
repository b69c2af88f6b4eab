//go:build linux

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestFlapUnderLoad opens and shuts one backend of three every 300 ms under
// load: no client may notice, and it makes at most a handful of transitions.
// SLUICE_TEST_LONG=1 goes on for a minute.
func TestFlapUnderLoad(t *testing.T) {
	t.Parallel()
	flapping := 6 * time.Second
	if os.Getenv("SLUICE_TEST_LONG") != "" {
		flapping = time.Minute
	}
	_, addrs := startEchos(t, 3)
	d := &door{t: t, to: addrs[0], addr: freeAddr(t)}
	d.open()
	addrs[0] = d.addr
	s := startSluice(t, backendArgs(addrs)...)
	admin := s.addr("admin")
	l := startLoad(100, s.addr("l4"), s.addr("l7"))
	state := func() string { return backends(t, admin)[addrs[0]].State }
	eventually(t, "all are used", func() bool {
		used := 0
		for _, b := range backends(t, admin) {
			if b.State == "up" && b.Connections > 20 {
				used++
			}
		}
		return used == 3
	})
	before := backends(t, admin)[addrs[0]]
	shuts := 0
	for begin := time.Now(); time.Since(begin) < flapping; shuts++ {
		shut := time.Now()
		d.shut()
		time.Sleep(time.Until(shut.Add(300 * time.Millisecond)))
		d.open()
		time.Sleep(300 * time.Millisecond)
	}
	now := backends(t, admin)[addrs[0]]
	changes := now.TransitionsUp + now.TransitionsDown - before.TransitionsUp - before.TransitionsDown
	ejections := now.Ejections - before.Ejections
	t.Logf("shut %d times: %d transitions, %d ejections", shuts, changes, ejections)
	if changes > 10 || ejections > 6 {
		t.Errorf("unexpected transitions of a backend that flapped %d times; got %d and %d ejections; want a handful", shuts, changes, ejections)
	}
	t.Logf("back %v after the last flap", eventually(t, "it is used again", func() bool {
		b := backends(t, admin)[addrs[0]]
		return state() == "up" && b.Eligible && b.Connections > now.Connections
	}))
	l.wantClean(t, 300)
	d.shut()
	d.wg.Wait()
}

// TestTroubleUnderLoad kills, stops or cuts off one backend of three under
// load. No GET may fail and no connect, and it must be out soon.
func TestTroubleUnderLoad(t *testing.T) {
	t.Parallel()
	f := func(name string, begin, end func(t *testing.T, echo *process, x *tunnel, l *load)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			echos, addrs := startEchos(t, 3)
			x := startTunnel(t, addrs[0])
			if name == "black hole" {
				addrs[0] = x.addr
			}
			s := startSluice(t, append(backendArgs(addrs), "--service=echo,check=http:/healthz")...)
			admin := s.addr("admin")
			l := startLoad(100, s.addr("l4"), s.addr("l7"))
			eventually(t, "all are used", func() bool {
				used := 0
				for _, b := range backends(t, admin) {
					if b.State == "up" && b.Connections > 20 {
						used++
					}
				}
				return used == 3
			})
			begin(t, echos[0], x, l)
			t.Logf("%s: out after %v", name, eventually(t, "it is out", func() bool { return !backends(t, admin)[addrs[0]].Eligible }))
			served := l.count("get")
			eventually(t, "traffic goes on without it", func() bool { return l.count("get") > served+100 })
			eventually(t, "no GET waits for it", func() bool { return l.waiting("get") <= 1 })
			if end != nil {
				end(t, echos[0], x, l)
				t.Logf("%s: back after %v", name, eventually(t, "it is back", func() bool { return backends(t, admin)[addrs[0]].Eligible }))
			}
			l.wantClean(t, 100)
		})
	}
	f("kill", func(t *testing.T, echo *process, _ *tunnel, l *load) {
		l.excuse(time.Now().Add(time.Hour)) // until it is known when it was
		echo.signal(syscall.SIGKILL)
		echo.wait()
		l.excuse(time.Now())
	}, nil)
	f("stop", func(t *testing.T, echo *process, _ *tunnel, _ *load) { echo.signal(syscall.SIGSTOP) },
		func(t *testing.T, echo *process, _ *tunnel, _ *load) { echo.signal(syscall.SIGCONT) })
	f("black hole", func(t *testing.T, _ *process, x *tunnel, _ *load) {
		if err := x.cut(true); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, _ *process, x *tunnel, _ *load) {
		if err := x.cut(false); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLiveTrafficEjects checks that a backend which answers nothing but 503 is
// used no more although its checks pass, and that all are used, and it is said,
// when too few are left.
func TestLiveTrafficEjects(t *testing.T) {
	t.Parallel()
	bad := start(t, "echo", nil, "--listen", "127.0.0.1:0", "--name", "bad", "--fail", "1")
	echos, addrs := startEchos(t, 2)
	s := startSluice(t, append(backendArgs(addrs), "--backend=echo="+bad.addr(""), "--strategy=round_robin")...)
	l7, admin := "http://"+s.addr("l7")+"/", s.addr("admin")
	eventually(t, "the bad one passes its check", func() bool { return backends(t, admin)[bad.addr("")].State == "up" })
	eventually(t, "the bad one is ejected", func() bool {
		_, _ = get(l7)
		return !backends(t, admin)[bad.addr("")].Eligible
	})
	b := backends(t, admin)[bad.addr("")]
	if b.State != "up" || b.Ejections != 1 || !strings.Contains(b.Reason, "connections and requests failed") {
		t.Fatalf("unexpected backend: %+v", b)
	}
	for range 50 {
		if status, body := get(l7); status != http.StatusOK {
			t.Fatalf("unexpected answer after the ejection; got %d: %s", status, body)
		}
	}
	for _, want := range []string{`"msg":"backend ejected"`, `"cause":"connections and requests failed","streak":15`} {
		if !strings.Contains(s.text(), want) {
			t.Fatalf("unexpected log, no %s", want)
		}
	}

	// One of the two good ones goes, and one of three is less than half.
	echos[0].signal(syscall.SIGKILL)
	echos[0].wait()
	eventually(t, "all are used", func() bool {
		_, body := get("http://" + admin + "/admin/backends")
		return strings.Contains(body, `"panic": true`) && strings.Contains(body, `"eligible": 3`)
	})
	start(t, "echo", nil, "--listen", addrs[0], "--name", "again")
	eventually(t, "the panic is over", func() bool {
		_, body := get("http://" + admin + "/admin/backends")
		return strings.Contains(body, `"panic": false`) && strings.Contains(body, `"eligible": 2`)
	})
	for _, want := range []string{"too few backends are available", "enough backends are available again"} {
		if !strings.Contains(s.text(), want) {
			t.Fatalf("unexpected log, no %q", want)
		}
	}
}

// TestOwnWord lets a backend say in its health check that it wants no more, or
// less.
func TestOwnWord(t *testing.T) {
	t.Parallel()
	var word atomic.Pointer[string]
	say := func(s string) { word.Store(&s) }
	say("")
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.Header().Set("X-Sluice-State", *word.Load())
			if *word.Load() == "drain" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}))
	t.Cleanup(own.Close)
	addr := own.Listener.Addr().String()
	_, addrs := startEchos(t, 1)
	s := startSluice(t, append(backendArgs(addrs), "--backend=echo="+addr, "--service=echo,check=http:/healthz", "--health-interval=200ms")...)
	admin := s.addr("admin")
	for _, x := range []struct {
		say      string
		eligible bool
		word     string
	}{{"ready", true, ""}, {"drain", false, "drain"}, {"50%", true, "50%"}, {"drain", false, "drain"}, {"", true, ""}} {
		say(x.say)
		eventually(t, "it does as it is told: "+x.say, func() bool {
			b := backends(t, admin)[addr]
			return b.State == "up" && b.Eligible == x.eligible && b.Word == x.word
		})
	}
	if b := backends(t, admin)[addr]; b.TransitionsDown != 0 {
		t.Fatalf("unexpected: who asks to be drained is taken for dead: %+v", b)
	}
}
