//go:build unix

package l7

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// peerServer is a server of somebody else: how it is started for a folder, on
// a port, with a folder for its own files.
type peerServer struct {
	name  string
	needs []string // programs in PATH, or files
	slow  bool     // only with SLUICE_TEST_SERVERS=all
	files func(site, own string, port int) map[string]string
	argv  func(site, own string, port int) []string
}

const debianPython = "/usr/bin/python3" // with the modules that Debian packages

func peerServers() []peerServer {
	python := func(name, module, program string, args ...string) peerServer {
		return peerServer{
			name: name, needs: []string{debianPython, "/usr/lib/python3/dist-packages/" + module},
			files: func(site, _ string, port int) map[string]string {
				return map[string]string{"app.py": strings.NewReplacer("SITE", site, "PORT", fmt.Sprint(port)).Replace(program)}
			},
			argv: func(_, own string, port int) []string {
				argv := append([]string{debianPython}, args...)
				if len(args) == 0 {
					argv = append(argv, filepath.Join(own, "app.py"))
				}
				for i := range argv {
					argv[i] = strings.ReplaceAll(argv[i], "PORT", fmt.Sprint(port))
				}
				return argv
			},
		}
	}
	const flask = `from flask import Flask
app = Flask(__name__)
@app.route("/admin/<path:p>")
def admin(p): return "` + secret + `"
@app.route("/<path:p>")
def other(p): return "HELLO"
if __name__ == "__main__": app.run("127.0.0.1", PORT)
`
	return []peerServer{
		{
			name: "nginx", needs: []string{"nginx"},
			files: func(site, own string, port int) map[string]string {
				return map[string]string{"n.conf": fmt.Sprintf(`daemon off; master_process off; pid %[2]s/pid; error_log stderr;
events {} http { access_log off; client_body_temp_path %[2]s/a; proxy_temp_path %[2]s/b; fastcgi_temp_path %[2]s/c; uwsgi_temp_path %[2]s/d; scgi_temp_path %[2]s/e;
server { listen 127.0.0.1:%[3]d; root %[1]s; } }`, site, own, port)}
			},
			argv: func(_, own string, _ int) []string {
				return []string{"nginx", "-c", own + "/n.conf", "-p", own, "-e", own + "/err"}
			},
		},
		{
			name: "apache", needs: []string{"apache2"},
			files: func(site, own string, port int) map[string]string {
				return map[string]string{"a.conf": fmt.Sprintf(`ServerRoot %[2]s
ServerName a.test
Listen 127.0.0.1:%[3]d
PidFile %[2]s/pid
ErrorLog %[2]s/err
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
AllowEncodedSlashes On
DocumentRoot %[1]s
<Directory %[1]s>
Require all granted
</Directory>
`, site, own, port)}
			},
			argv: func(_, own string, _ int) []string { return []string{"apache2", "-X", "-f", own + "/a.conf"} },
		},
		{
			name: "lighttpd", needs: []string{"lighttpd"},
			files: func(site, _ string, port int) map[string]string {
				return map[string]string{"l.conf": fmt.Sprintf("server.document-root=%q\nserver.port=%d\nserver.bind=\"127.0.0.1\"\nserver.http-parseopts=(\"header-strict\"=>\"disable\",\"url-path-2f-decode\"=>\"enable\")\n", site, port)}
			},
			argv: func(_, own string, _ int) []string { return []string{"lighttpd", "-D", "-f", own + "/l.conf"} },
		},
		{
			name: "caddy", needs: []string{"caddy"},
			argv: func(site, _ string, port int) []string {
				return []string{"caddy", "file-server", "--root", site, "--listen", fmt.Sprintf("127.0.0.1:%d", port)}
			},
		},
		{
			name: "node", needs: []string{"node"},
			files: func(site, _ string, port int) map[string]string {
				return map[string]string{"n.js": fmt.Sprintf(`const http=require("http"),fs=require("fs"),path=require("path");
http.createServer((q,a)=>{let p;try{p=path.normalize(decodeURIComponent(q.url.split("?")[0]))}catch(e){a.statusCode=400;return a.end()}
try{fs.readFile(path.join(%q,p),(e,d)=>{a.statusCode=e?404:200;a.end(e?"":d)})}catch(e){a.statusCode=400;a.end()}}).listen(%d,"127.0.0.1")`, site, port)}
			},
			argv: func(_, own string, _ int) []string { return []string{"node", own + "/n.js"} },
		},
		{
			name: "node by URL", needs: []string{"node"},
			files: func(_, _ string, port int) map[string]string {
				return map[string]string{"n.js": fmt.Sprintf(`require("http").createServer((q,a)=>{let p;try{p=decodeURIComponent(new URL("http://a"+q.url).pathname)}catch(e){p="/"}
a.end(p.startsWith("/admin/")?%q:"HELLO")}).listen(%d,"127.0.0.1")`, secret, port)}
			},
			argv: func(_, own string, _ int) []string { return []string{"node", own + "/n.js"} },
		},
		{
			name: "python http.server", needs: []string{debianPython},
			argv: func(site, _ string, port int) []string {
				return []string{debianPython, "-m", "http.server", "-b", "127.0.0.1", "-d", site, fmt.Sprint(port)}
			},
		},
		python("aiohttp", "aiohttp", `from aiohttp import web
a = web.Application(); a.router.add_static("/", "SITE"); web.run_app(a, host="127.0.0.1", port=PORT)`),
		python("werkzeug", "flask", flask),
		python("gunicorn", "gunicorn", flask, "-m", "gunicorn", "-b", "127.0.0.1:PORT", "app:app"),
		python("uvicorn", "uvicorn", `import posixpath
async def app(scope, receive, send):
    if scope["type"] != "http": return
    p = posixpath.normpath(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"`+secret+`" if p.startswith("/admin/") else b"HELLO"})`, "-m", "uvicorn", "--port", "PORT", "app:app"),
		{
			name: "php", needs: []string{"php"},
			argv: func(site, _ string, port int) []string {
				return []string{"php", "-S", fmt.Sprintf("127.0.0.1:%d", port), "-t", site}
			},
		},
		{
			name: "tomcat", needs: []string{"java", "/usr/share/tomcat10/bin/bootstrap.jar"}, slow: true,
			files: func(site, _ string, port int) map[string]string {
				return map[string]string{"conf/server.xml": fmt.Sprintf(`<Server port="-1"><Service name="Catalina">
<Connector port="%d" address="127.0.0.1" encodedSolidusHandling="decode" relaxedPathChars='\'/>
<Engine name="Catalina" defaultHost="localhost"><Host name="localhost"><Context path="" docBase="%s"/></Host></Engine></Service></Server>`, port, site),
					"conf/web.xml": `<web-app><servlet><servlet-name>default</servlet-name><servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class></servlet>
<servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping></web-app>`}
			},
			argv: func(_, own string, _ int) []string {
				return []string{"java", "-Dcatalina.home=/usr/share/tomcat10", "-Dcatalina.base=" + own, "-cp", "/usr/share/tomcat10/bin/bootstrap.jar:/usr/share/tomcat10/bin/tomcat-juli.jar", "org.apache.catalina.startup.Bootstrap", "start"}
			},
		},
	}
}

// TestSpellingsOfServers tries every spelling against the servers that this
// machine has. Java's take seconds to start, and run with
// SLUICE_TEST_SERVERS=all alone.
func TestSpellingsOfServers(t *testing.T) {
	t.Parallel()
	site := writeSite(t)
	for _, s := range peerServers() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			addr := s.start(t, site)
			if n := checkSpellings(t, addr); n < 4 {
				t.Errorf("only %d spellings reach it without sluice: the test shows nothing", n)
			}
		})
	}
}

// start starts the server and returns its address. Where it is not to be had,
// or does not start, the test is skipped.
func (s *peerServer) start(t *testing.T, site string) string {
	t.Helper()
	if s.slow && os.Getenv("SLUICE_TEST_SERVERS") != "all" {
		t.Skip("it takes too long to start")
	}
	for _, n := range s.needs {
		if _, err := exec.LookPath(n); err == nil {
			continue
		}
		if _, err := os.Stat(n); err != nil {
			t.Skipf("%s is not here", n)
		}
	}
	own := t.TempDir()
	_, port, _ := net.SplitHostPort(deadAddr(t))
	var n int
	_, _ = fmt.Sscan(port, &n)
	if s.files != nil {
		for name, text := range s.files(site, own, n) {
			name = filepath.Join(own, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := &syncBuffer{}
	argv := s.argv(site, own, n)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = own, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Skipf("it does not start: %v", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	addr := net.JoinHostPort("127.0.0.1", port)
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			t.Skipf("it does not start: %s", out)
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr
		}
		if time.Since(begun) > patience {
			t.Skipf("it does not start: %s", out)
		}
	}
}
