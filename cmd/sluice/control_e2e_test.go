package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
	"sluice/pkg/balance"
	"sluice/pkg/certificate/certificatetest"
)

// ctl runs the command ctl against a control plane in this process.
func ctlAt(addr string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(append([]string{"ctl", "--addr=" + addr}, args...), []string{"HOME=/nonexistent"}, &out, &err, signals{})
	return code, out.String(), err.String()
}

// TestCtl makes every command, in an order in which each finds what it needs, at
// a sluice that is then killed and started again.
func TestCtl(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	state := filepath.Join(t.TempDir(), "state.json")
	args := []string{
		"--l7=127.0.0.1:0", "--l4=127.0.0.1:0=tcp", "--route=/=web", "--route=/api=api", "--admin=127.0.0.1:0", "--state=" + state,
		"--backend=web=" + addrs[0], "--backend=web=" + addrs[1], "--backend=api=" + addrs[2], "--backend=tcp=" + addrs[2],
	}
	s := start(t, "sluice", nil, args...)
	s.addr("l7")
	admin := s.addr("admin")
	for _, c := range []struct {
		args string // separated by spaces; + is one within
		code int
		has  string
	}{
		{"services", 0, "web"},
		{"backends", 0, addrs[2]},
		{"backends web", 0, addrs[1]},
		{"backends nope", 6, "none of that name"},
		{"routes", 0, "/api"},
		{"listeners", 0, "l4"},
		{"connections", 0, "CLIENT"},
		{"outliers", 0, "CAUSE"},
		{"explain x/api/1 --client 10.0.0.1", 0, addrs[2]},
		{"explain --service tcp", 0, "would be picked"},
		{"explain --host x --path y", 2, "does not begin with /"},
		{"drain web " + addrs[0] + " --for 10m --reason deploy --by maria --dry-run", 0, "would be in force"},
		{"changes -o json", 0, `"changes": []`},
		{"drain web " + addrs[0] + " --for 10m --reason deploy --by maria", 0, "until"},
		{"drain " + addrs[0], 0, "changed"},
		{"drain web " + addrs[1], 3, "without any backend"},
		{"drain web " + addrs[1] + " --if-match 0", 4, "meanwhile"},
		{"drain web 127.0.0.1:1", 2, "no such backend"},
		{"drain nope 127.0.0.1:1", 2, "no such service"},
		{"undrain " + addrs[0], 0, "undone"},
		{"weight web " + addrs[0] + " 50%", 0, "0.5x"},
		{"weight web " + addrs[0] + " lots", 2, "neither"},
		{"force " + addrs[0] + " down", 0, "in force"},
		{"force " + addrs[0] + " up", 0, "changed"},
		{"eject " + addrs[0] + " --for 5m", 0, "in force"},
		{"readmit " + addrs[0], 0, "in force"},
		{"reset " + addrs[0] + " all", 0, "in force"},
		{"add web 127.0.0.1:9 --weight 3 --zone z", 0, "weight=3"},
		{"remove web 127.0.0.1:9", 0, "undone"},
		{"strategy web maglev", 0, "maglev"},
		{"strategy", 0, "maglev"},
		{"strategy web nope", 2, "least_conn"},
		{"canary web api 10%", 0, "api:10"},
		{"canary", 0, "api"},
		{"canary web off", 0, "undone"},
		{"set web max_requests 100", 0, "100"},
		{"unset web max-requests", 0, "undone"},
		{"set web colour red", 2, "no such thing"},
		{"route add /x=web,strip=/x", 0, "/x"},
		{"route remove /api", 0, "in force"},
		{"route remove /nope", 2, "no such route"},
		{"listener add l7+127.0.0.1:0", 0, "in force"},
		{"log-level debug", 0, "debug"},
		{"log-level", 0, "debug"},
		{"events --kind change --limit 2", 0, "log_level"},
		{"reload --dry-run", 0, "nothing"},
		{"reload", 0, "nothing"},
		{"selftest", 0, "all"},
		{"advice", 0, "SEVERITY"},
		{"cost", 0, "USD"},
		{"config", 0, "retry-budget"},
		{"fleet", 6, "no fleet"},
		{"end nothing", 6, "no connection"},
		{"completion bash", 0, "complete -F"},
		{"completion zsh", 0, "#compdef"},
		{"completion fish", 2, "neither"},
		{"undo", 2, "--all"},
		{"undo nonsense", 2, "names no change"},
		{"undo service+web+strategy", 0, "undone"},
		{"nope", 2, "unknown command"},
		{"drain", 2, "BACKEND"},
		{"changes --nope", 2, "nope"},
	} {
		words := strings.Fields(c.args)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "+", " ")
		}
		code, out, err := ctlAt(admin, words...)
		if code != c.code || !strings.Contains(out+err, c.has) {
			t.Errorf("unexpected end of ctl %s: %d\n%s%s\nwant %d with %q", c.args, code, out, err, c.code, c.has)
		}
	}
	if code, _, _ := ctlAt("127.0.0.1:1", "services"); code != exitFailed {
		t.Errorf("unexpected end without a sluice: %d", code)
	}
	_, before, _ := ctlAt(admin, "changes", "-o", "json")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.done
	again := start(t, "sluice", nil, args...)
	again.addr("l7")
	_, after, _ := ctlAt(again.addr("admin"), "changes", "-o", "json")
	if x, y := idsOf(t, before), idsOf(t, after); !slices.Equal(x, y) || len(x) < 5 {
		t.Fatalf("unexpected changes after a restart; got %v, want %v", y, x)
	}
	if status, _ := get("http://" + again.addr("l7") + "/api/1"); status != http.StatusOK { // by /
		t.Fatalf("unexpected status: %d", status)
	}
	if code, out, err := ctlAt(again.addr("admin"), "undo", "--all"); code != exitOK {
		t.Fatalf("unexpected end of undo: %d, %s%s", code, out, err)
	}
}

func idsOf(t *testing.T, changes string) (ids []string) {
	t.Helper()
	var v struct{ Changes []struct{ ID, Value string } }
	if err := json.Unmarshal([]byte(changes), &v); err != nil {
		t.Fatalf("%v: %s", err, changes)
	}
	for _, c := range v.Changes {
		if !strings.HasSuffix(c.ID, " readmit") && !strings.HasSuffix(c.ID, " reset") {
			ids = append(ids, c.ID+"="+c.Value)
		}
	}
	return ids
}

// post makes a call of the control plane and returns its status and answer.
func post(t *testing.T, method, admin, path string, params ...string) (status int, body string) {
	t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		v.Set(params[i], params[i+1])
	}
	req, err := http.NewRequest(method, "http://"+admin+path+"?"+v.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestChangesUnderLoad changes all there is while requests and connections come:
// none fails, and a connection that no change concerns lives on. SLUICE_CHANGES_TIME
// has it go on for so long.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := fmt.Sprintf("l7: ['127.0.0.1:0']\nl4: ['127.0.0.1:0=web']\nroute: ['/=web']\nbackend: ['web=%s', 'web=%s', 'web=%s']\nadmin: 127.0.0.1:0\n", addrs[0], addrs[1], addrs[2])
	write(good)
	s := start(t, "sluice", nil, "--config="+file)
	l7, l4, admin := s.addr("l7"), s.addr("l4"), s.addr("admin")
	eventually(t, "all are up", func() bool { status, _ := get("http://" + admin + "/readyz"); return status == 200 })

	stay, err := net.Dial("tcp", l4)
	if err != nil {
		t.Fatal(err)
	}
	defer stay.Close()
	var stop atomic.Bool
	var served atomic.Int64
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: n%2 == 0}}
			for to := l7; !stop.Load(); served.Add(1) {
				if n == 3 {
					to = l4
				}
				resp, err := c.Get("http://" + to + "/")
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("unexpected answer: %d, %v", resp.StatusCode, err)
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	ok := func(method, path string, params ...string) {
		t.Helper()
		if status, body := post(t, method, admin, path, params...); status != http.StatusOK {
			t.Errorf("unexpected answer to %s %s %v: %d %s", method, path, params, status, body)
		}
	}
	long, _ := time.ParseDuration(os.Getenv("SLUICE_CHANGES_TIME"))
	for n, begin := 0, time.Now(); n < 3 || time.Since(begin) < long; n++ {
		for _, name := range balance.Names() {
			ok("PUT", "/admin/services/web/strategy", "value", name)
		}
		b := addrs[n%len(addrs)]
		ok("POST", "/admin/drain", "url", b)
		ok("POST", "/admin/remove", "url", b)
		ok("POST", "/admin/add", "url", b, "service", "web")
		ok("POST", "/admin/undrain", "url", b)
		ok("POST", "/admin/weight", "url", b, "value", "2x")
		ok("POST", "/admin/routes", "route", "/x=web")
		ok("POST", "/admin/listeners", "listener", "l7 localhost:0")
		ok("DELETE", "/admin/listeners", "listener", "localhost:0")
		ok("DELETE", "/admin/changes")
		if status, body := post(t, "POST", admin, "/admin/reload"); status != http.StatusOK {
			t.Errorf("unexpected answer to a reload: %d %s", status, body)
		}
		write("l7: nonsense\n")
		if status, _ := post(t, "POST", admin, "/admin/reload"); status != http.StatusUnprocessableEntity {
			t.Errorf("unexpected status of a reload of nonsense: %d", status)
		}
		write(good)
	}
	stop.Store(true)
	wg.Wait()
	if served.Load() == 0 {
		t.Fatal("nothing was served")
	}
	fmt.Fprintf(stay, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_ = stay.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, err := io.ReadAll(stay); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
		t.Fatalf("a connection that nobody meant was cut: %q, %v", b, err)
	}
}

// TestConnectionsShown finds connections and closes one of them.
func TestConnectionsShown(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	s := startSluice(t, append(backendArgs(addrs), "--l4-driver=auto")...)
	admin := s.addr("admin")
	dial := func(to string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	one, two, http := dial(s.addr("l4")), dial(s.addr("l4")), dial(s.addr("l7"))
	var ids map[string]string // by client
	eventually(t, "all three are shown, with the backend of those of TCP", func() bool {
		_, body := get("http://" + admin + "/admin/connections")
		var v struct {
			Connections []struct{ ID, Client, Kind, Backend string }
		}
		if json.Unmarshal([]byte(body), &v) != nil {
			return false
		}
		ids = make(map[string]string)
		for _, c := range v.Connections {
			if c.Kind == "l4" && c.Backend != addrs[0] {
				return false
			}
			ids[c.Client] = c.ID
		}
		return ids[one.LocalAddr().String()] != "" && ids[two.LocalAddr().String()] != "" && ids[http.LocalAddr().String()] != ""
	})
	if code, out, err := ctlAt(admin, "end", ids[one.LocalAddr().String()]); code != exitOK {
		t.Fatalf("unexpected end: %d %s%s", code, out, err)
	}
	_ = one.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := one.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Fatalf("the connection was not closed: %v", err)
	}
	fmt.Fprintf(two, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = two.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := two.Read(make([]byte, 1)); err != nil {
		t.Fatalf("another connection was closed, too: %v", err)
	}
}

// TestAdminSocket has the control plane on a unix socket, asked by ctl and
// healthcheck.
func TestAdminSocket(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	path := filepath.Join(t.TempDir(), "admin.sock")
	s := start(t, "sluice", nil, "--l4=127.0.0.1:0=echo", "--backend=echo="+addrs[0], "--admin=unix:"+path+",mode=0600")
	s.addr("l4")
	eventually(t, "it answers", func() bool { code, _, _ := ctlAt("unix:"+path, "services"); return code == exitOK })
	if code, out, err := ask([]string{"SLUICE_ADMIN=unix:" + path}, "--ready"); code != exitOK {
		t.Fatalf("unexpected end of healthcheck: %d %s%s", code, out, err)
	}
	s.signal(syscall.SIGINT)
	s.signal(syscall.SIGINT)
	s.wait()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("the socket is left behind: %v", err)
	}
}

// TestFleet has three sluices share what operators change, over the death of one
// of them and of Consul.
func TestFleet(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 2)
	agent := consultest.Start(t)
	args := []string{"--l7=127.0.0.1:0", "--route=/=web", "--backend=web=" + addrs[0], "--backend=web=" + addrs[1], "--admin=127.0.0.1:0", "--consul=" + agent.Addr(), "--fleet=e2e"}
	var all []*process
	for range 3 {
		all = append(all, start(t, "sluice", nil, args...))
	}
	in := func(s *process, id string) bool {
		_, body := get("http://" + s.addr("admin") + "/admin/changes")
		return strings.Contains(body, `"`+id+`"`)
	}
	everywhere := func(what, id string, want bool) time.Duration {
		t.Helper()
		return eventually(t, what, func() bool {
			return !slices.ContainsFunc(all, func(s *process) bool { return in(s, id) != want })
		})
	}
	drain := func(b string) string { return "backend web " + b + " drain" }
	first := all[0].addr("admin")
	eventually(t, "all are listed and ready", func() bool {
		code, out, _ := ctlAt(first, "fleet", "-o", "json")
		return code == exitOK && strings.Contains(out, `"ready": 3`)
	})
	if code, out, err := ctlAt(first, "drain", "web", addrs[0], "--by", "maria"); code != exitOK {
		t.Fatalf("unexpected end: %d %s%s", code, out, err)
	}
	t.Logf("a drain was everywhere after %v", everywhere("the drain is everywhere", drain(addrs[0]), true))
	if code, out, err := ctlAt(first, "fleet", "--wait", "--timeout", "60s"); code != exitOK || !strings.Contains(out, "applied by all: true") {
		t.Fatalf("unexpected end of fleet --wait: %d %s%s", code, out, err)
	}
	// Another one judges by what was changed here.
	if code, _, err := ctlAt(all[1].addr("admin"), "drain", "web", addrs[1]); code != 3 {
		t.Fatalf("unexpected end of draining the last one elsewhere: %d %s", code, err)
	}
	if err := all[2].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-all[2].done
	all[2] = start(t, "sluice", nil, args...)
	everywhere("the drain is at who was started again", drain(addrs[0]), true)

	agent.Stop()
	eventually(t, "changes are refused without Consul", func() bool {
		status, body := post(t, "POST", first, "/admin/weight", "url", addrs[1], "value", "2")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "local=true")
	})
	if status, body := post(t, "POST", first, "/admin/weight", "url", addrs[1], "value", "3", "local", "true"); status != http.StatusOK || !strings.Contains(body, `"local": true`) {
		t.Fatalf("unexpected answer to a change here alone: %d %s", status, body)
	}
	if status, _ := get("http://" + all[0].addr("l7") + "/"); status != http.StatusOK {
		t.Fatalf("unexpected status without Consul: %d", status)
	}
	if _, body := get("http://" + first + "/readyz"); !strings.Contains(body, "on this sluice alone") {
		t.Fatalf("/readyz does not tell: %s", body)
	}
	agent.Restart() // wiped
	everywhere("what was changed here alone is everywhere", "backend web "+addrs[1]+" weight", true)
	everywhere("the drain is kept", drain(addrs[0]), true)
	if code, out, err := ctlAt(all[1].addr("admin"), "undo", "--all"); code != exitOK {
		t.Fatalf("unexpected end of undo: %d %s%s", code, out, err)
	}
	everywhere("nothing is in force", drain(addrs[0]), false)
}

// TestAdminTLS asks for the certificates of operators, whose names are in the
// journal.
func TestAdminTLS(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 2)
	servers, clients := certificatetest.NewAuthority(t), certificatetest.NewAuthority(t)
	cert, key := servers.Write(t, "127.0.0.1")
	s := startSluice(t, append(backendArgs(addrs), "--admin=127.0.0.1:0", "--admin-tls-cert="+cert, "--admin-tls-key="+key, "--admin-client-ca="+clients.WriteCA(t))...)
	admin := s.addr("admin")
	call := func(own ...tls.Certificate) (status int, body string, err error) {
		c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: servers.Pool(), Certificates: own}}}
		resp, err := c.Post("https://"+admin+"/admin/drain?url="+addrs[0], "", nil)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	if _, _, err := call(); err == nil {
		t.Fatal("somebody without a certificate was let in")
	}
	if _, _, err := call(certificatetest.NewAuthority(t).IssueClient(t, "mallory", nil)); err == nil {
		t.Fatal("somebody with the certificate of another authority was let in")
	}
	status, body, err := call(clients.IssueClient(t, "maria", nil))
	if err != nil || status != http.StatusOK || !strings.Contains(body, `"by": "maria"`) {
		t.Fatalf("unexpected answer to an operator: %d %s, %v", status, body, err)
	}
}
