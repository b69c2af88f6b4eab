package h2

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// need returns where a program is, or skips the test and says that it is missing.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("there is no %s; .ci/run says how it is installed", name)
	}
	return path
}

// output runs a program to its end, and returns what it says.
func output(t *testing.T, cmd string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, cmd, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", cmd, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// secure starts a listener of TLS for backends, and returns its address and the
// directory of its certificate.
func secure(t *testing.T, backends []string, args ...string) (addr, dir string) {
	t.Helper()
	dir = certificate(t)
	all := append([]string{"--l7", "127.0.0.1:0,tls-cert=" + dir + "/cert.pem,tls-key=" + dir + "/key.pem", "--route", "/=web", "--admin", "127.0.0.1:0"}, args...)
	for _, b := range backends {
		all = append(all, "--backend", "web="+b)
	}
	return start(t, "sluice", all...).addr("l7"), dir
}

// TestH2spec has h2spec find nothing, with TLS and without.
func TestH2spec(t *testing.T) {
	t.Parallel()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	b := goBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "h2spec reads this") })
	clear := sluice(t, []string{b}).addr("l7")
	safe, _ := secure(t, []string{b})
	for name, args := range map[string][]string{"clear": {clear}, "TLS": {safe, "-t", "-k"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, port, _ := net.SplitHostPort(args[0])
			ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
			defer cancel()
			out, _ := exec.CommandContext(ctx, filepath.Join(bin, "h2spec"), append([]string{"-h", host, "-p", port, "-o", "10"}, args[1:]...)...).CombinedOutput() // fails if a case does
			found := regexp.MustCompile(`(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed`).FindStringSubmatch(string(out))
			if found == nil {
				t.Fatalf("h2spec did not come to an end: %s", out)
			}
			total, _ := strconv.Atoi(found[1])
			failed, _ := strconv.Atoi(found[4])
			allowed := 0
			if name == "clear" && strings.Contains(string(out), "invalid connection preface") {
				allowed = 1 // what does not begin as HTTP/2 does is HTTP/1.1 there, and answered so
			}
			if total < 140 || failed > allowed {
				t.Errorf("unexpected result: %s\n%s", found[0], out)
			}
		})
	}
}

// TestCurl has curl do what it does, by each way to HTTP/2.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl := need(t, "curl")
	if !strings.Contains(output(t, curl, "--version"), "HTTP2") {
		t.Skip("this curl does not speak HTTP/2")
	}
	r := newRecorder(t)
	clear := sluice(t, []string{r.addr}, "--service", "web,check=none").addr("l7")
	safe, dir := secure(t, []string{r.addr}, "--service", "web,check=none")
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, []byte(strings.Repeat("0123456789abcdef", 1<<16)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"prior knowledge": {"--http2-prior-knowledge", "http://" + clear},
		"ALPN":            {"--http2", "--cacert", dir + "/cert.pem", "https://" + safe},
		"upgrade ignored": {"--http2", "http://" + clear},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			version, last := "2", len(args)-1
			if name == "upgrade ignored" {
				version = "1.1"
			}
			for how, more := range map[string][]string{
				"200 5":       {"-I", args[last] + "/head"},
				"200 2":       {args[last] + "/hints"},
				"204 0":       {args[last] + "/204"},
				"200 large":   {"-T", file, args[last] + "/put"},
				"200 chunked": {"-H", "Content-Length:", "-H", "Expect:", "--data-binary", "@" + file, args[last] + "/post"},
			} {
				status, size, _ := strings.Cut(how, " ")
				if version == "1.1" && size == "chunked" {
					continue // it has no framing then
				}
				out := output(t, curl, append(append(append([]string{"-s", "-S", "-o", os.DevNull, "-w", "%{http_version} %{http_code} %{size_download}"}, args[:last]...), "--max-time", "60"), more...)...)
				got := strings.Fields(out)
				if len(got) != 3 || got[0] != version || got[1] != status || (size == "large" || size == "chunked") && len(got[2]) < 7 || size == "2" && got[2] != "2" {
					t.Errorf("unexpected outcome of %v: %q", more, out)
				}
			}
		})
	}
}

// TestH2load has h2load get all of its requests answered.
func TestH2load(t *testing.T) {
	t.Parallel()
	h2load := need(t, "h2load")
	b := goBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Repeat("x", 3000)) })
	clear := sluice(t, []string{b}, "--service", "web,check=none").addr("l7")
	h2c := sluice(t, []string{b}, "--service", "web,check=none,protocol=h2c").addr("l7")
	safe, _ := secure(t, []string{b}, "--service", "web,check=none")
	for _, url := range []string{"http://" + clear, "http://" + h2c, "https://" + safe} {
		for _, more := range []string{"--header-table-size=4096", "--header-table-size=0"} {
			out := output(t, h2load, "-n", "3000", "-c", "8", "-m", "30", more, url+"/")
			if !strings.Contains(out, "3000 succeeded, 0 failed, 0 errored, 0 timeout") || !strings.Contains(out, "3000 2xx") {
				t.Errorf("unexpected outcome with %s: %s", more, out)
			}
		}
	}
}

// nginx starts nginx with servers in its configuration, where PORT stands for a
// port that is free, and returns the address.
func nginx(t *testing.T, servers string) string {
	t.Helper()
	path := need(t, "nginx")
	for range 5 { // somebody else may take the port
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		ln.Close()
		_, port, _ := net.SplitHostPort(addr)
		dir := t.TempDir()
		conf := "daemon off; master_process off; error_log stderr; pid " + dir + "/pid; events {} http { access_log off;" +
			" client_body_temp_path " + dir + "; proxy_temp_path " + dir + "; fastcgi_temp_path " + dir + "; uwsgi_temp_path " + dir + "; scgi_temp_path " + dir + ";" +
			strings.ReplaceAll(servers, "PORT", port) + "}"
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		p := run(t, exec.Command(path, "-p", dir, "-c", file, "-e", "stderr"))
		up := false
		eventually(t, "nginx listens, or ends", func() bool {
			c, err := net.Dial("tcp", addr)
			if up = err == nil; up {
				c.Close()
				return true
			}
			select {
			case <-p.done:
				return true
			default:
				return false
			}
		})
		if up {
			return addr
		}
		t.Logf("nginx has ended: %s", p.text())
	}
	t.Fatal("nginx does not start")
	return ""
}

// TestNginx has nginx be a backend of HTTP/2, and pass calls of gRPC on to sluice.
func TestNginx(t *testing.T) {
	t.Parallel()
	b := nginx(t, `server { listen 127.0.0.1:PORT http2; location / { return 200 "of nginx: $request_method $http2 $host"; } }`)
	w := dialWire(t, sluice(t, []string{b}, "--service", "web,protocol=h2c").addr("l7"))
	w.open(1, true, head("GET", "/")...)
	if a := w.wait(1); a.body.String() != "of nginx: GET h2c a.example" {
		t.Errorf("unexpected response: %q %q", a.status(), a.body.String())
	}
	server := role(t, "grpc", addrKey+"=127.0.0.1:0")
	front := nginx(t, `server { listen 127.0.0.1:PORT http2; location / { grpc_pass grpc://`+sluice(t, []string{server.addr("")}, "--service", "web,check=grpc,protocol=grpc").addr("l7")+`; } }`)
	for _, name := range []string{"empty_unary", "large_unary", "server_streaming", "custom_metadata", "status_code_and_message"} {
		p := role(t, "case", addrKey+"="+front, nameKey+"="+name)
		if <-p.done; !p.cmd.ProcessState.Success() {
			t.Errorf("%s through nginx fails: %s", name, p.text())
		}
	}
}

// TestChromium has a browser speak HTTP/2.
func TestChromium(t *testing.T) {
	t.Parallel()
	chromium := need(t, "chromium")
	b := goBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/" {
			fmt.Fprint(w, `<p id=out></p><script>Promise.all([...Array(50).keys()].map(i => fetch("/"+i).then(r => r.text()))).then(all =>
				out.textContent = "spoke " + performance.getEntriesByType("navigation")[0].nextHopProtocol + " " + new Set(all).size)</script>`)
			return
		}
		fmt.Fprint(w, r.URL.Path)
	})
	safe, _ := secure(t, []string{b})
	out := output(t, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors", "--user-data-dir="+t.TempDir(),
		"--virtual-time-budget=20000", "--dump-dom", "https://"+safe+"/")
	if !strings.Contains(out, "spoke h2 50") {
		t.Errorf("unexpected page: %s", out)
	}
}
