package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// agent is a Consul of a test's own.
type agent struct {
	t    *testing.T
	addr string
	stop func()
}

// consul starts a Consul agent, of the binary that make puts into bin.
func consul(t *testing.T) *agent {
	t.Helper()
	binary := os.Getenv("SLUICE_TEST_CONSUL")
	if binary == "" {
		binary, _ = filepath.Abs("../../bin/consul") // it is below the working directory
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("there is no Consul: make builds it: ", err)
	}
	for attempt := 1; ; attempt++ {
		a, err := startConsul(t, binary)
		if err == nil {
			return a
		}
		if attempt == 5 { // somebody may have taken a port meanwhile
			t.Fatalf("cannot start Consul: %v", err)
		}
	}
}

func startConsul(t *testing.T, binary string) (*agent, error) {
	var ports [3]int
	var free []net.Listener
	for i := range ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		ports[i] = ln.Addr().(*net.TCPAddr).Port
		free = append(free, ln)
	}
	for _, ln := range free { // once all are known, so that they differ
		ln.Close()
	}
	hcl := fmt.Sprintf("ports { http = %d, server = %d, serf_lan = %d, serf_wan = -1, https = -1, dns = -1, grpc = -1, grpc_tls = -1 }\nconnect { enabled = false }\ndisable_update_check = true", ports[0], ports[1], ports[2])
	cmd := exec.Command(binary, "agent", "-dev", "-node", fmt.Sprint("node-", ports[0]), "-bind", "127.0.0.1", "-client", "127.0.0.1", "-hcl", hcl)
	return awaitConsul(t, cmd, fmt.Sprint("127.0.0.1:", ports[0]))
}

// awaitConsul starts an agent and waits until it leads.
func awaitConsul(t *testing.T, cmd *exec.Cmd, addr string) (*agent, error) {
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	done := make(chan struct{})
	a := &agent{t: t, addr: addr, stop: func() {
		_ = cmd.Process.Kill() // it may have ended
		<-done
	}}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(a.stop)
	for ; time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		select {
		case <-done:
			return nil, fmt.Errorf("it has ended: %s", log.Bytes())
		default:
		}
		resp, err := http.Get("http://" + addr + "/v1/status/leader")
		if err != nil {
			continue
		}
		var leader string
		err = json.NewDecoder(resp.Body).Decode(&leader)
		resp.Body.Close()
		if err == nil && leader != "" {
			return a, nil
		}
	}
	return nil, fmt.Errorf("it has no leader: %s", log.Bytes())
}

// register registers an instance of a service.
func (a *agent) register(service map[string]any) {
	a.t.Helper()
	body, err := json.Marshal(service)
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPut, "http://"+a.addr+"/v1/agent/service/register", bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		a.t.Fatalf("cannot register %s: status %d", body, resp.StatusCode)
	}
}

// instance is an instance of the service web at an address.
func instance(id, addr string, more map[string]any) map[string]any {
	host, port, _ := net.SplitHostPort(addr) // the address is a good one
	var n int
	fmt.Sscan(port, &n)
	s := map[string]any{"Name": "web", "ID": id, "Address": host, "Port": n}
	for k, v := range more {
		s[k] = v
	}
	return s
}

// TestConsul registers instances whose names, tags and checks hold HTML, quotes
// and control characters: they are shown as text. Then Consul is stopped, which
// is a banner, and what is known stays.
func TestConsul(t *testing.T) {
	t.Parallel()
	c := consul(t)
	_, addrs := echos(t, 2)
	c.register(instance(hostile, addrs[0], map[string]any{
		"Meta": map[string]string{"note": hostile}, "Tags": []string{hostile, "urlprefix-/" + "tag"},
	}))
	c.register(instance("second", addrs[1], map[string]any{
		"Check": map[string]any{"Name": hostile, "Notes": hostile, "TTL": "10m", "Status": "critical"},
	}))
	s := start(t, "sluice", "--l7=127.0.0.1:0", "--route=/=web", "--admin=127.0.0.1:0", "--consul="+c.addr, "--consul-tags=urlprefix-", "--access-log")
	// What clients send, too.
	for _, x := range []struct{ host, path string }{{`<img-src=x>`, "/" + "%3Cscript%3Ewindow.hacked=1%3C/script%3E"}, {"a.example", `/"'<b>`}, {"a.example", "/\u202e"}} {
		conn, err := net.Dial("tcp", s.addr("l7"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Request-Id: <b>id</b>\r\nConnection: close\r\n\r\n", x.path, x.host)
		buf := make([]byte, 4096)
		_, _ = conn.Read(buf) // whatever it is
		conn.Close()
	}
	b := open(t, dashboard(s)+"#/services")
	b.await("the backends", `document.querySelectorAll("[role=rowgroup] .row.pick").length >= 2`)
	b.pick(addrs[1])
	b.await("why it is out", `document.querySelector("#main").innerText.includes("critical")`)
	b.pick(addrs[0])
	b.await("the ID as text", `document.querySelector("#main").innerText.includes("<img src=x onerror=alert(1)>")`)
	for _, key := range pagesThere(b) {
		b.page(key)
		if key == "explain" {
			b.set("#explain-host", hostile)
			b.set("#explain-path", "/"+hostile)
			b.press("Explain")
			b.await("an answer", `document.querySelector("#main [role=status]").children.length > 0`)
		}
		if n := eval[int](b, `document.querySelectorAll("main img, main script, main iframe, main object, main b:not(.bar > b)").length`); n != 0 {
			t.Fatalf("page %s has %d elements that came from outside", key, n)
		}
	}
	if eval[bool](b, `window.hacked !== undefined`) {
		t.Fatal("something from outside was run")
	}

	b.page("services")
	c.stop()
	b.await("a banner", `!document.querySelector("#banner").hidden && document.querySelector("#banner").textContent.includes("consul `+c.addr+`") && document.querySelector("#banner").textContent.includes("web")`)
	b.await("the service tells of it", `document.querySelectorAll(".row.pick").length >= 2`)
	b.page("overview")
	b.await("a mark", `[...document.querySelectorAll("#main .list li")].some((x) => x.textContent.includes("contact") || x.textContent.includes("consul"))`)
	b.picture("consul-gone")
	b.clean()
}

// TestFleet shows three sluices that share what operators change, each with its
// version and whether it has applied the latest; one that dies is seen.
func TestFleet(t *testing.T) {
	t.Parallel()
	c := consul(t)
	_, addrs := echos(t, 2)
	var all []*process
	for range 3 {
		all = append(all, start(t, "sluice", "--l7=127.0.0.1:0", "--route=/=web", "--backend=web="+addrs[0], "--backend=web="+addrs[1], "--admin=127.0.0.1:0", "--consul="+c.addr, "--fleet=pages", "--drain-delay=0s"))
	}
	b := open(t, dashboard(all[0])+"#/services")
	b.pick(addrs[0])
	b.press("Drain…")
	b.order(all[0], "deploy")
	for _, s := range all {
		eventually(t, "it drains everywhere", func() bool { return strings.Contains(s.changes(), "deploy") })
	}
	b.page("fleet")
	b.await("three that agree", `document.querySelectorAll("#main tbody tr").length === 3 && document.querySelector("#main").innerText.includes("all agree")`)
	for _, s := range all {
		b.await("where it is", `document.querySelector("#main").innerText.includes("`+s.addr("admin")+`")`)
	}
	load(t, "http://"+all[1].addr("l7")+"/", 2)
	b.await("what it serves", `[...document.querySelectorAll("#main tbody tr")].some((r) => /[1-9]/.test(r.children[9].textContent))`)
	b.do(chromedp.EmulateViewport(360, 740))
	b.await("a page no wider than the screen", `document.documentElement.scrollWidth <= innerWidth`)
	b.picture("fleet-360")
	b.do(chromedp.EmulateViewport(1280, 900))
	b.axe("the fleet")
	b.picture("fleet")
	all[2].terminate()
	b.await("two are left", `document.querySelectorAll("#main tbody tr").length === 2`)
	b.clean()
}

// terminate asks a process to stop and waits until it has.
func (p *process) terminate() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
	<-p.done
}
