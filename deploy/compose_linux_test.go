package deploy

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composed is a service of a compose file.
type composed struct {
	Image       string
	Build       struct{ Context, Dockerfile, Target string }
	Command     []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	ReadOnly    bool     `yaml:"read_only"`
	DependsOn   []string `yaml:"depends_on"`
}

// network gives every port of a service a port of this machine, in the place of
// the network that compose makes.
type network struct {
	t        *testing.T
	services []string
	ports    map[string]string // of "service:port"
}

// at returns where a port of a service is.
func (n *network) at(service, port string) string {
	key := service + ":" + port
	if n.ports[key] == "" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			n.t.Fatal(err)
		}
		n.ports[key] = ln.Addr().String()
		ln.Close()
	}
	return n.ports[key]
}

// translate puts the ports of this machine into a word of a service: those that
// it names, and its own, as in ":8080".
func (n *network) translate(service, word string) string {
	word = regexp.MustCompile(`\b([a-z][a-z0-9-]*):(\d+)\b`).ReplaceAllStringFunc(word, func(s string) string {
		name, port, _ := strings.Cut(s, ":")
		if !slices.Contains(n.services, name) {
			return s
		}
		return n.at(name, port)
	})
	return regexp.MustCompile(`(^|=):(\d+)`).ReplaceAllStringFunc(word, func(s string) string {
		before, port, _ := strings.Cut(s, ":")
		return before + n.at(service, port)
	})
}

// TestCompose starts the real programs of the compose file, by its own commands,
// and looks whether they make what it promises. Grafana alone is not there.
func TestCompose(t *testing.T) {
	t.Parallel()
	consul := os.Getenv("SLUICE_TEST_CONSUL")
	if consul == "" {
		t.Skip("SLUICE_TEST_CONSUL does not say where Consul is; make test does")
	}
	var file struct{ Services map[string]composed }
	if err := yaml.Unmarshal([]byte(read(t, "compose/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	n := &network{t: t, ports: make(map[string]string)}
	for name, s := range file.Services {
		n.services = append(n.services, name)
		for _, d := range s.DependsOn {
			if _, ok := file.Services[d]; !ok {
				t.Errorf("%s depends on %s, which there is not", name, d)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, err := os.Stat(filepath.Join("compose", source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	targets := stages(t, read(t, "Dockerfile"))
	running := make(map[string]*running)
	for _, name := range []string{"consul", "web-1", "web-2", "web-3", "sluice", "prometheus"} {
		s := file.Services[name]
		var words []string
		for _, w := range s.Command {
			words = append(words, n.translate(name, w))
		}
		environ := os.Environ()
		for k, v := range s.Environment {
			environ = append(environ, k+"="+v)
		}
		var path string
		switch {
		case s.Build.Target != "":
			if !s.ReadOnly {
				t.Errorf("%s may write", name)
			}
			path = filepath.Join(programs, s.Build.Target)
			for _, i := range targets[s.Build.Target] {
				if i.word == "ENTRYPOINT" {
					var entry []string
					if err := json.Unmarshal([]byte(i.rest), &entry); err != nil {
						t.Fatal(err)
					}
					for _, w := range entry[1:] {
						words = append(words, n.translate(name, w))
					}
				}
			}
		case name == "consul":
			path = consul
			_, http, _ := net.SplitHostPort(n.at("consul", "8500"))
			ports := []string{"-http-port=" + http}
			for _, p := range []string{"dns", "server", "serf-lan", "serf-wan", "grpc", "grpc-tls"} {
				_, free, _ := net.SplitHostPort(n.at("consul", p))
				ports = append(ports, fmt.Sprintf("-%s-port=%s", p, free))
			}
			words = append(words, append(ports, "-bind=127.0.0.1")...)
		case name == "prometheus":
			path = prometheusOf(t, n, s, &words)
			if path == "" {
				continue
			}
		}
		running[name] = start(t, environ, path, words...)
	}
	http8080, admin := n.at("sluice", "8080"), n.at("sluice", "9900")
	answers := func() map[string]bool {
		seen := make(map[string]bool)
		for range 12 {
			resp, err := http.Get("http://" + http8080 + "/")
			if err != nil {
				return nil
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				seen[resp.Header.Get("X-Backend")] = true
			}
		}
		return seen
	}
	eventually(t, "all three backends answer", func() bool { return len(answers()) == 3 })
	if status, body := get("http://" + n.at("sluice", "8081") + "/"); status != http.StatusOK {
		t.Errorf("unexpected answer through TCP: %d: %s", status, body)
	}
	if status, body := get("http://" + n.at("sluice", "9901") + "/readyz"); status != http.StatusOK {
		t.Errorf("unexpected readiness: %d: %s", status, body)
	}
	if err := running["web-1"].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one that was killed is out", func() bool {
		_, body := get("http://" + admin + "/metrics")
		return strings.Contains(body, `sluice_service_eligible_backends{service="web"} 2`)
	})
	eventually(t, "the other two answer", func() bool { seen := answers(); return len(seen) == 2 && !seen["web-1"] })
	if err := running["web-2"].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one that was stopped has deregistered", func() bool {
		_, body := get("http://" + n.at("consul", "8500") + "/v1/catalog/service/web")
		return !strings.Contains(body, "web-2") && strings.Contains(body, "web-3")
	})
	if running["prometheus"] != nil {
		eventually(t, "Prometheus has seen it", func() bool {
			_, body := get("http://" + n.at("prometheus", "9090") + "/api/v1/query?query=sluice_ready")
			return strings.Contains(body, `"sluice_ready"`)
		})
	}
}

// prometheusOf returns where Prometheus is, and completes its words by what its
// volumes hold; nothing if there is none.
func prometheusOf(t *testing.T, n *network, s composed, words *[]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, v := range s.Volumes {
		parts := strings.Split(v, ":")
		text := read(t, filepath.Join("compose", parts[0]))
		if strings.HasSuffix(parts[1], "prometheus.yml") {
			text = n.translate("prometheus", text)
			text = strings.ReplaceAll(text, "5s", "1s")
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(parts[1])), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, w := range *words {
		(*words)[i] = strings.Replace(w, "/etc/prometheus", dir, 1)
	}
	*words = append(*words, "--web.listen-address="+n.at("prometheus", "9090"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--log.level=warn")
	path, err := exec.LookPath("prometheus")
	if err != nil {
		return ""
	}
	return path
}
