package h2

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// modules is where .ci/run installs what is written for Node.
const modules = "../../bin/npm/node_modules"

// TestNode has Node's client of HTTP/2 meet Go's server and Node's, of both HTTPs.
func TestNode(t *testing.T) {
	t.Parallel()
	node := need(t, "node")
	of := map[string]string{
		"Go": goBackend(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow":
				<-r.Context().Done()
			case "/hints":
				w.Header().Set("Link", "</a>")
				w.WriteHeader(http.StatusEarlyHints)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if r.URL.Path == "/trailers" {
				w.Header().Set(http.TrailerPrefix+"X-End", "yes")
				w.Header().Set(http.TrailerPrefix+"X-Got", r.Trailer.Get("X-Sent"))
			}
			_, _ = w.Write(body)
		}),
		"Node": run(t, exec.Command(node, "server.js")).addr(""),
	}
	for _, x := range []struct{ server, protocol string }{{"Go", "http"}, {"Go", "h2c"}, {"Node", "h2c"}} {
		t.Run(x.server+" "+x.protocol, func(t *testing.T) {
			t.Parallel()
			service := "web,check=none,protocol=" + x.protocol
			safe, _ := secure(t, []string{of[x.server]}, "--service", service)
			clear := sluice(t, []string{of[x.server]}, "--service", service).addr("l7")
			for _, origin := range []string{"http://" + clear, "https://" + safe} {
				if out := output(t, node, "client.js", origin); !strings.Contains(out, "all is well") {
					t.Errorf("unexpected end: %s", out)
				}
			}
		})
	}
}

// TestGRPCJS has grpc-js be client and server.
func TestGRPCJS(t *testing.T) {
	t.Parallel()
	node := need(t, "node")
	if _, err := os.Stat(filepath.Join(modules, "@grpc/grpc-js")); err != nil {
		t.Skip("there is no grpc-js, which .ci/run installs: ", err)
	}
	paths, err := filepath.Abs(modules)
	if err != nil {
		t.Fatal(err)
	}
	script := func(args ...string) *exec.Cmd {
		cmd := exec.Command(node, append([]string{"grpc.js"}, args...)...)
		cmd.Env = append(cmd.Env, "NODE_PATH="+paths)
		return cmd
	}
	server := run(t, script("server")).addr("")
	safe, dir := secure(t, []string{server}, "--service", "web,check=none,protocol=grpc")
	clear := sluice(t, []string{server}, "--service", "web,check=none,protocol=grpc").addr("l7")
	for _, args := range [][]string{{"client", clear}, {"client", strings.Replace(safe, "127.0.0.1", "localhost", 1), dir + "/cert.pem"}} {
		p := run(t, script(args...))
		if <-p.done; !p.cmd.ProcessState.Success() {
			t.Error(fmt.Sprint("unexpected end: ", p.text()))
		}
	}
}
