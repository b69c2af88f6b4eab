package main

import (
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soak is a sluice and all that is done to it.
type soak struct {
	t       *testing.T
	seed    uint64
	s       *process
	admin   string
	clients *soakClients
	chaos   chaos
	doing   []soakFault // of which there is an end to come
	known   []soakFault
	// register registers again all that Consul is to know.
	register func()
	faults   map[string]int
	asked    time.Time // when its control plane last was
}

// soakFault is one thing that goes wrong, and for how long.
type soakFault struct {
	name  string
	group string // of which one goes wrong at a time
	lasts time.Duration
	begin func() (end func()) // end may be nil
	end   func()
	until time.Time
}

// TestSoak has clients of all kinds and faults of all kinds at once: backends
// are killed, stopped and cut off, sluice itself is stopped, has no files left
// and nobody who reads its log, and sources of members, certificates and bytes
// are fed garbage. What arrives is what was sent, whatever happens; once it is
// over, all are served, and nothing is left of it.
//
// SLUICE_SOAK=30m, or make soak, does so for half an hour with the race
// detector. Steps of the clock are left to the tests of packages: it cannot be
// set for one process.
func TestSoak(t *testing.T) {
	t.Parallel()
	binary, lasts := built.path("sluice"), howLong(t, "SLUICE_SOAK", 3*time.Second)
	if os.Getenv("SLUICE_SOAK") != "" {
		binary = filepath.Join(t.TempDir(), "sluice")
		if out, err := exec.Command("go", "build", "-race", "-o", binary, "sluice/cmd/sluice").CombinedOutput(); err != nil {
			t.Fatalf("cannot build with the race detector: %v: %s", err, out)
		}
	}
	for _, driver := range []string{"epoll", "copy"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			x := startSoak(t, binary, driver)
			x.run(min(lasts/3, time.Minute)) // so that pools, buffers and series are there
			before := x.settled(nil)
			x.run(lasts)
			after := x.settled(&before)
			x.s.signal(syscall.SIGTERM)
			if code := x.s.wait(); code != exitOK {
				t.Errorf("unexpected exit code %d", code)
			}
			x.lives("the end")
			t.Logf("before: %v\nafter: %v", before, after)
			x.tell(lasts >= time.Minute)
		})
	}
}

func startSoak(t *testing.T, binary, driver string) *soak {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newSoakWorld(t, seed)
	w.driver = driver
	x := &soak{t: t, seed: seed, chaos: chaos{rand.New(rand.NewPCG(seed, 0))}, faults: make(map[string]int), clients: newSoakClients(w.authority.Pool())}
	p := newProcess(t, binary, w.args()...)
	// Only what is not in JSON, and errors: it is a long log.
	p.keep = func(line string) bool {
		return !strings.HasPrefix(line, "{") || strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "internal_error") || strings.Contains(line, "panic")
	}
	r, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(stdout.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout = stdout // the access log
	x.s = p.run()
	stdout.Close()
	var reading sync.WaitGroup
	reading.Go(func() { p.read(r) })
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		reading.Wait()
		r.Close()
	})
	x.admin = p.addr("admin")
	k := x.clients
	k.l4Secure, k.tagged = k.tls, w.tagged
	if driver == "copy" {
		k.l4Secure = nil // it speaks no TLS
	}
	k.l4, k.l4TLS, k.few, k.rough, k.l7, k.l7TLS = w.listen[0], w.listen[1], w.listen[2], w.listen[3], w.listen[4], w.listen[5]
	x.known, x.register = w.faults(p), w.register
	return x
}

// run has clients and faults for a while, and then none of both.
func (x *soak) run(lasts time.Duration) {
	x.t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for id := range uint64(10) {
		id += x.chaos.Uint64() % 1000 * 100
		wg.Go(func() { x.clients.work(x.seed, id, stop) })
	}
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		x.fault()
		time.Sleep(x.chaos.within(300 * time.Millisecond))
		x.end(false)
		x.lives("a soak")
	}
	x.end(true)
	x.register()
	close(stop)
	begin := time.Now()
	wg.Wait()
	waited := time.Since(begin)
	x.calm()
	x.clients.closeIdle()
	x.t.Logf("after the faults, clients ended within %v and all were served within %v", waited, time.Since(begin))
}

// fault begins one of the faults, if none of its group goes on.
func (x *soak) fault() {
	f := x.known[x.chaos.IntN(len(x.known))]
	if slices.ContainsFunc(x.doing, func(d soakFault) bool { return d.group == f.group }) {
		return
	}
	x.faults[f.name]++
	f.end = f.begin()
	f.until = time.Now().Add(f.lasts/10 + x.chaos.within(f.lasts))
	x.doing = append(x.doing, f)
}

// end ends the faults whose time is over, or all.
func (x *soak) end(all bool) {
	x.doing = slices.DeleteFunc(x.doing, func(f soakFault) bool {
		over := all || time.Now().After(f.until)
		if over && f.end != nil {
			f.end()
		}
		return over
	})
}

// lives checks that sluice does, that its control plane answers, and that
// nothing has happened that no fault excuses.
func (x *soak) lives(when string) {
	x.t.Helper()
	ended := false
	select {
	case <-x.s.done:
		ended = true
	default:
	}
	if ended && when != "the end" {
		x.t.Fatalf("sluice has ended during %s: %v", when, x.s.cmd.ProcessState)
	}
	if !ended && time.Since(x.asked) > time.Second && !x.is("sluice") {
		client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + x.admin + "/healthz")
		if err != nil {
			x.t.Fatalf("the control plane does not answer during %s: %v", when, err)
		}
		resp.Body.Close()
		x.asked = time.Now()
	}
	x.clients.mu.Lock()
	wrong := x.clients.wrong
	x.clients.mu.Unlock()
	if len(wrong) > 0 {
		x.t.Fatalf("clients saw what no fault excuses: %v", wrong)
	}
	if x.is("log") {
		return // whose lock it holds
	}
	for _, word := range []string{"panic", "DATA RACE", "internal_error", "fatal error", "goroutine "} {
		if text := x.s.text(); strings.Contains(text, word) {
			x.t.Fatalf("the log tells of a %s during %s", word, when)
		}
	}
}

// is tells whether there is a fault of a group.
func (x *soak) is(group string) bool {
	return slices.ContainsFunc(x.doing, func(d soakFault) bool { return d.group == group })
}
