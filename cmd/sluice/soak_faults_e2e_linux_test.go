package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sys/unix"

	"sluice/discovery/consul/consultest"
	"sluice/pkg/certificate/certificatetest"
)

// soakWorld is what a sluice has around it.
type soakWorld struct {
	t         *testing.T
	driver    string
	chaos     chaos
	agent     *consultest.Agent
	authority *certificatetest.Authority
	list      string    // the file of members
	certs     string    // the directory of certificates
	listen    [6]string // see args
	tagged    string    // the address that a tag asks for
	echos     []*soakEcho
	tunnel    *tunnel
	upgrades  string
	roughs    [2]string
	junk, dns string
	sane      atomic.Bool // of DNS
}

// soakEcho is an echo backend that is killed and started again.
type soakEcho struct {
	addr string
	*process
}

func (w *soakWorld) startEcho(addr string) *process {
	p := start(w.t, "echo", nil, "--listen", addr, "--name", addr)
	p.addr("")
	return p
}

// The first are members of the service echo, by Consul; the others of few.
const soakEchos, soakFew = 3, 2

func newSoakWorld(t *testing.T, seed uint64) *soakWorld {
	t.Helper()
	dir := t.TempDir()
	w := &soakWorld{t: t, chaos: chaos{rand.New(rand.NewPCG(seed, 7))}, agent: consultest.Start(t), authority: certificatetest.NewAuthority(t), list: filepath.Join(dir, "list.yaml"), certs: filepath.Join(dir, "certs"), tagged: freeAddr(t)}
	if err := os.Mkdir(w.certs, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range w.listen {
		w.listen[i] = freeAddr(t)
	}
	for range soakEchos + soakFew {
		addr := freeAddr(t)
		w.echos = append(w.echos, &soakEcho{addr, w.startEcho(addr)})
	}
	w.tunnel = startTunnel(t, w.echos[0].addr)
	up := httptest.NewServer(http.HandlerFunc(echoUpgraded))
	t.Cleanup(up.Close)
	w.upgrades = up.Listener.Addr().String()
	for i := range w.roughs {
		w.roughs[i] = roughBackend(t, seed+uint64(i))
	}
	w.junk, w.dns = garbageBackend(t, seed), garbageDNS(t, seed, &w.sane)
	w.sane.Store(true)
	w.certificate("a")
	w.write(w.list, []byte("- "+w.echos[0].addr+"\n"))
	w.register()
	return w
}

func (w *soakWorld) write(path string, b []byte) {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Error(err)
	}
}

func (w *soakWorld) certificate(name string) {
	cert, key := w.authority.Issue(w.t, "a.example")
	w.write(filepath.Join(w.certs, name+".crt"), cert)
	w.write(filepath.Join(w.certs, name+".key"), key)
}

// register registers all that Consul is to know.
func (w *soakWorld) register() {
	w.t.Helper()
	for i, e := range w.echos[:soakEchos] {
		register(w.t, w.agent, fmt.Sprintf("echo-%d", i), "echo", e.addr)
	}
	register(w.t, w.agent, "tunnel", "echo", w.tunnel.addr)
	register(w.t, w.agent, "tagged", "tagged", w.echos[0].addr, consultest.WithTags("urlprefix-/tagged", "urlprefix-"+w.tagged+" proto=tcp"))
}

// leaveFiles lets a running process open a few more files than it has, until
// undo is called.
func (p *process) leaveFiles(few int) (undo func()) {
	p.t.Helper()
	pid := p.cmd.Process.Pid
	var had unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &had); err != nil {
		p.t.Fatal(err)
	}
	set := func(to unix.Rlimit) {
		p.t.Helper()
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &to, nil); err != nil {
			p.t.Fatal(err)
		}
	}
	set(unix.Rlimit{Cur: uint64(p.descriptors() + few), Max: had.Max})
	return func() { set(had) }
}

// forget deregisters instances. Whether Consul knows them then is not its
// business: a soak goes on, and at its end all is registered again.
func (w *soakWorld) forget(ids ...string) {
	for _, id := range ids {
		_ = w.agent.API().Agent().ServiceDeregister(id)
	}
}

// args are those of sluice.
func (w *soakWorld) args() []string {
	args := []string{
		"--l4=" + w.listen[0] + "=echo", "--l4=" + w.listen[1] + "=echo,tls-cert=" + w.certs, "--l4=" + w.listen[2] + "=few", "--l4=" + w.listen[3] + "=rough",
		"--l7=" + w.listen[4], "--l7=" + w.listen[5] + ",tls-cert=" + w.certs,
		"--route=/=echo", "--route=few.example/=few", "--route=rough.example/=rough", "--route=upgrade.example/=upgrade", "--route=/file=file", "--route=/dns=dns", "--route=/junk=junk",
		"--service=few,max-conns=2,queue=4,queue-timeout=300ms", "--service=file,file=" + w.list, "--service=dns,dns=x.example:9", "--service=tagged",
		"--backend=upgrade=" + w.upgrades, "--backend=junk=" + w.junk, "--backend=rough=" + w.roughs[0], "--backend=rough=" + w.roughs[1],
		"--consul=" + w.agent.Addr(), "--consul-tags=urlprefix-", "--consul-keep=1s", "--dns-server=" + w.dns, "--dns-min-ttl=20ms", "--dns-max-ttl=1s", "--dns-keep=0s",
		"--admin=127.0.0.1:0", "--access-log", "--log-level=debug", "--health-interval=200ms", "--backend-drain-timeout=1s", "--drain-delay=100ms", "--drain-timeout=10s",
		"--l4-idle-timeout=2s", "--l4-fin-timeout=1s", "--l7-body-timeout=2s", "--l7-response-timeout=2s", "--l7-idle-timeout=1s", "--l7-backend-idle-timeout=1s", "--l7-upgrade-idle-timeout=2s", "--l7-upgrade-fin-timeout=1s",
		"--l7-total-timeout=20s", "--l4-driver=" + w.driver, "--handshake-timeout=2s",
	}
	if w.driver == "copy" {
		args[1] = "--l4=" + w.listen[1] + "=echo" // it speaks no TLS
	}
	for _, e := range w.echos[soakEchos:] {
		args = append(args, "--backend=few="+e.addr)
	}
	return args
}

// faults are all that may go wrong with a sluice of that process. The test's
// own goroutine begins and ends them.
func (w *soakWorld) faults(s *process) []soakFault {
	c := w.chaos
	all := []soakFault{
		{name: "sluice is stopped", group: "sluice", lasts: 3 * time.Second, begin: func() func() {
			s.signal(syscall.SIGSTOP)
			return func() { s.signal(syscall.SIGCONT) }
		}},
		{name: "SIGHUP", group: "hup", lasts: time.Second, begin: func() func() { s.signal(syscall.SIGHUP); return nil }},
		{name: "nobody reads the log", group: "log", lasts: 5 * time.Second, begin: func() func() { s.mu.Lock(); return s.mu.Unlock }},
		{name: "no files left", group: "files", lasts: time.Second, begin: func() func() { return s.leaveFiles(3) }},
		{name: "a backend is cut off", group: "tunnel", lasts: 4 * time.Second, begin: func() func() {
			cut := func(off bool) {
				if err := w.tunnel.cut(off); err != nil {
					w.t.Fatal(err)
				}
			}
			cut(true)
			return func() { cut(false) }
		}},
		{name: "Consul says critical", group: "consul", lasts: time.Second, begin: func() func() {
			say := func(status string) { _ = w.agent.API().Agent().UpdateTTL("ttl:echo-1", "", status) } // see forget
			say(api.HealthCritical)
			return func() { say(api.HealthPassing) }
		}},
		{name: "Consul says maintenance", group: "consul", lasts: 2 * time.Second, begin: func() func() {
			_ = w.agent.API().Agent().EnableServiceMaintenance("echo-2", "")
			return func() { _ = w.agent.API().Agent().DisableServiceMaintenance("echo-2") }
		}},
		{name: "Consul forgets members", group: "consul", lasts: 2 * time.Second, begin: func() func() {
			w.forget("echo-0", "tagged")
			return w.register
		}},
		{name: "Consul hangs", group: "consul", lasts: 2 * time.Second, begin: func() func() { w.agent.Freeze(); return w.agent.Thaw }},
		{name: "Consul is emptied", group: "consul", lasts: time.Second, begin: func() func() { w.agent.Restart(); return w.register }},
		{name: "Consul has garbage", group: "consul", lasts: 2 * time.Second, begin: func() func() {
			registry := garbageConsul{addrs: []string{w.tagged}}
			var ids []string
			for range 1 + c.IntN(4) {
				r := &api.AgentServiceRegistration{ID: fmt.Sprintf("odd-%d", len(ids)), Name: one(c, "echo", "tagged", "odd"), Address: one(c, "127.0.0.1", "localhost.", "256.1.1.1", "0.0.0.0"), Port: one(c, 0, 9, 65535)}
				r.Tags = []string{registry.tag(c), registry.tag(c)}
				r.Meta = map[string]string{"sluice-weight": c.text(), "sluice-check": one(c, "tcp", "none", "http:/", c.text()), "sluice-zone": c.text(), "sluice-protocol": c.text()}
				if w.agent.API().Agent().ServiceRegister(r) == nil { // it may know better
					ids = append(ids, r.ID)
				}
			}
			return func() { w.forget(ids...) }
		}},
		{name: "DNS has garbage", group: "dns", lasts: 3 * time.Second, begin: func() func() {
			w.sane.Store(false)
			return func() { w.sane.Store(true) }
		}},
		{name: "a list is garbage", group: "list", lasts: time.Second, begin: func() func() {
			good := []byte("- " + w.echos[0].addr + "\n")
			text := one(c, "[]", string(good), "- {addr: \"127.0.0.1:9\", weight: 3, zone: b, check: \"http:/\"}\n", "- {addr: 1, tags: [v1]}\n", c.text())
			w.write(w.list, c.mutate([]byte(text)))
			return func() { w.write(w.list, good) }
		}},
		{name: "certificates are renewed", group: "certs", lasts: time.Second, begin: func() func() { w.certificate(one(c, "a", "b")); return nil }},
		{name: "certificates are broken", group: "certs", lasts: time.Second, begin: func() func() {
			cert, key := w.authority.Issue(w.t, "a.example")
			path := filepath.Join(w.certs, one(c, "a.crt", "a.key", "b.crt", "b.key", "c.pem"))
			w.write(path, one(c, cert, key, c.mutate(cert), c.mutate(key), []byte(c.text())))
			return func() { _ = os.Remove(filepath.Join(w.certs, "c.pem")); w.certificate("a"); w.certificate("b") }
		}},
	}
	for i, e := range w.echos {
		group := fmt.Sprintf("echo %d", i)
		all = append(all, soakFault{name: "a backend is killed", group: group, lasts: 2 * time.Second, begin: func() func() {
			e.signal(syscall.SIGKILL)
			e.wait()
			return func() { e.process = w.startEcho(e.addr) }
		}}, soakFault{name: "a backend is stopped", group: group, lasts: 3 * time.Second, begin: func() func() {
			e.signal(syscall.SIGSTOP)
			return func() { e.signal(syscall.SIGCONT) }
		}})
	}
	return all
}
