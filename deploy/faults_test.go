package deploy

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/pkg/certificate/certificatetest"
)

// fault is one that was injected: the alert that must tell of it, and where the
// runbook's page of that alert sends whoever is on duty, who finds the cause there.
type fault struct {
	what    string
	alert   string
	labels  string                 // of the alert, as in a query
	runbook string                 // what the page says where to look
	look    func() (string, error) // there
	cause   string                 // what it shows, as a regular expression
}

// shown returns what a path of a control plane shows.
func shown(admin, path string) func() (string, error) {
	return func() (string, error) {
		_, body := get("http://" + admin + path)
		return body, nil
	}
}

// logged returns the log of a process.
func logged(r *running) func() (string, error) {
	return func() (string, error) { return r.text(), nil }
}

// TestFaults injects faults of all kinds into running sluices. A Prometheus with the
// alerts' own expressions, over a shorter time, must alert of each, and the runbook's
// page of the alert must name the place where its cause is to be seen.
func TestFaults(t *testing.T) {
	t.Parallel()
	found(t, "prometheus")
	sluice := filepath.Join(programs, "sluice")
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	_, good := backends(t, 2)
	_, bad := backends(t, 1, "--listen=0.0.0.0:0", "--fail=1")
	_, half := backends(t, 1, "--fail=0.5")
	_, slow := backends(t, 1, "--latency=2600ms")
	dir := t.TempDir()
	cert, key := certificatetest.NewAuthority(t).Write(t, "a.example")
	settings := filepath.Join(dir, "sluice.yaml")
	writeFile := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(settings, "log-level: info\n")

	// Services with all that backends can do.
	services := []string{"dead", "out", "panic", "errors", "slow", "refuse", "queue"}
	args := []string{"--l7=127.0.0.1:0", "--admin=127.0.0.1:0", "--l7-backend-idle-timeout=0s", "--health-interval=200ms",
		"--backend=dead=127.0.0.1:1",
		"--backend=out=" + good[0], "--backend=out=" + good[1], "--backend=out=127.0.0.2:1", "--backend=out=127.0.0.3:1",
		"--service=panic,check=http:/", "--backend=panic=127.0.0.2:" + port(bad[0]), "--backend=panic=127.0.0.3:" + port(bad[0]), "--backend=panic=127.0.0.4:" + port(bad[0]), "--backend=panic=" + good[0],
		"--service=errors,check=none,max-ejection=0", "--backend=errors=" + half[0],
		"--service=slow,check=none", "--backend=slow=" + slow[0],
		"--service=refuse,check=none", "--backend=refuse=127.0.0.4:1",
		"--service=queue,check=none,max-conns=1,queue-timeout=1m", "--backend=queue=" + slow[0],
		"--access-log-file=/dev/full", "--otlp=127.0.0.1:1",
	}
	for _, name := range services {
		args = append(args, "--route=/"+name+"="+name)
	}
	a := start(t, os.Environ(), sluice, args...)
	// A listener that is full, certificates, a registry that is away, a file that is wrong.
	b := start(t, os.Environ(), sluice, "--l4=127.0.0.1:0=echo,max-conns=1", "--backend=echo="+good[0], "--l7=127.0.0.1:0,tls-cert="+cert+",tls-key="+key, "--route=/=web",
		"--consul=127.0.0.1:1", "--register=lb,port=80", "--admin=127.0.0.1:0", "--config="+settings)
	// One without the list of its members, and one that is killed.
	c := start(t, os.Environ(), sluice, "--l4=127.0.0.1:0=db", "--service=db,file="+filepath.Join(dir, "nothing.yaml"), "--admin=127.0.0.1:0")
	d := start(t, os.Environ(), sluice, "--l4=127.0.0.1:0=echo", "--backend=echo="+good[0], "--admin=127.0.0.1:0")
	adminA, adminB, adminC, adminD := a.addr("admin"), b.addr("admin"), c.addr("admin"), d.addr("admin")
	b.addr("l4")

	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeFile(settings, "log-level: loud\n")
	for _, err := range []error{b.cmd.Process.Signal(syscall.SIGHUP), d.cmd.Process.Kill()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	clients(t, a.addr("l7"), services, b.addr("l4"))
	prometheus := scraping(t, strings.NewReplacer("[5m]", "[10s]", "[15m]", "[10s]", "for: 1m", "for: 0s", "for: 2m", "for: 0s", "for: 5m", "for: 0s", "for: 10m", "for: 0s", "for: 30s", "for: 0s", "for: 1h", "for: 0s"),
		adminA, adminB, adminC, adminD)

	of := func(service string) string { return `,service="` + service + `"` }
	who := func(service string) func() (string, error) { return shown(adminA, "/admin/backends?service="+service) }
	const backendsPage = "/admin/backends?service=NAME"
	for _, f := range []fault{
		{"a process that is killed", "SluiceDown", `,instance="` + adminD + `"`, "sluice healthcheck", func() (string, error) {
			out, _ := healthcheck(sluice, adminD) // its error is what is looked for
			return out, nil
		}, "connection refused"},
		{"a list of members that is not there", "SluiceNotReady", `,instance="` + adminC + `"`, "/readyz", shown(adminC, "/readyz"), "nothing.yaml"},
		{"the only backend is down", "SluiceServiceWithoutBackends", of("dead"), backendsPage, who("dead"), "connection refused"},
		{"two of four are down", "SluiceBackendsOut", of("out"), backendsPage, who("out"), "connection refused"},
		{"a check that fails on most", "SluiceServicePanic", of("panic"), backendsPage, who("panic"), "503"},
		{"a backend that fails every second request", "SluiceErrors", of("errors"), "sluice_backend_error_ratio", shown(adminA, "/metrics"), `sluice_backend_error_ratio\{service="errors",backend="` + half[0] + `"\} 0\.`},
		{"a slow backend", "SluiceSlow", of("slow"), "sluice_backend_latency_seconds", shown(adminA, "/metrics"), `sluice_backend_latency_seconds\{service="slow",backend="` + slow[0] + `"\} ([2-9]|\d\d)`},
		{"nothing listens at a backend", "SluiceConnectFailures", of("refuse"), "sluice_backend_connect_failures_total", shown(adminA, "/metrics"), `sluice_backend_connect_failures_total\{service="refuse",backend="127.0.0.4:1"\} [1-9]`},
		{"more requests than backends may have", "SluiceQueues", of("queue"), "sluice_backend_connections", shown(adminA, "/metrics"), `sluice_backend_connections\{service="queue",backend="` + slow[0] + `"\} 1`},
		{"a full disk below the access log", "SluiceLogLost", "", "`write_error`", shown(adminA, "/metrics"), `sluice_log_lost_lines_total\{reason="write_error"\} [1-9]`},
		{"a collector that is away", "SluiceSpansLost", `,reason="export"`, "The log", logged(a), "spans were dropped.*connection refused"},
		{"a listener that is full", "SluiceTurnsAway", `,reason="max_conns"`, "log line", logged(b), "max-conns"},
		{"a key that does not fit", "SluiceCertificateUnusable", "", "The log", logged(b), filepath.Base(key)},
		{"a certificate that is not renewed", "SluiceCertificateExpires", "", "openssl x509", func() (string, error) { b, err := os.ReadFile(cert); return string(b), err }, "BEGIN CERTIFICATE"},
		{"a registry that is away", "SluiceConsulUnreachable", "", "/readyz", shown(adminB, "/readyz"), "connection refused"},
		{"a registration that cannot be made", "SluiceNotRegistered", "", "/readyz", shown(adminB, "/readyz"), "cannot keep lb registered"},
		{"a configuration that is wrong", "SluiceReloadFailed", "", "The log", logged(b), "log-level"},
	} {
		eventually(t, f.alert+" tells of "+f.what, func() bool {
			n, err := ask(prometheus, `ALERTS{alertstate="firing",alertname="`+f.alert+`"`+f.labels+`}`)
			return err == nil && n > 0
		})
		_, page, _ := strings.Cut(read(t, "../docs/runbook.md"), "\n## "+f.alert+"\n")
		page, _, _ = strings.Cut(page, "\n## ")
		if !strings.Contains(page, f.runbook) {
			t.Errorf("%s: the runbook's page of %s does not say to look at %s", f.what, f.alert, f.runbook)
		}
		cause := regexp.MustCompile(f.cause)
		eventually(t, f.what+": what the runbook's page of "+f.alert+" says to look at shows "+f.cause, func() bool {
			text, err := f.look()
			return err == nil && cause.MatchString(text)
		})
	}
}

// clients asks each service at l7 in turn, some at once, and opens connections to
// l4, one of which stays, until the test ends.
func clients(t *testing.T, l7 string, services []string, l4 string) {
	done := make(chan struct{})
	ended := make(chan struct{})
	client := &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	stays, err := net.Dial("tcp", l4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(stays, "hello"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(done); stays.Close(); <-ended })
	slots := make(chan struct{}, 60)
	go func() {
		defer close(ended)
		for {
			for _, name := range services {
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond):
				}
				select {
				case slots <- struct{}{}:
				default:
					continue // enough of them wait
				}
				go func() {
					defer func() { <-slots }()
					if resp, err := client.Get("http://" + l7 + "/" + name); err == nil {
						resp.Body.Close()
					}
				}()
			}
			if c, err := net.DialTimeout("tcp", l4, time.Second); err == nil {
				c.Close()
			}
		}
	}()
}
