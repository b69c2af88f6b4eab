package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// smallBody is what the backend answers: 66 bytes.
const smallBody = "sluice bench: sixty-six bytes, as small as an answer tends to be.\n"

// backend is what stands behind the proxies: nginx with one worker or, where
// that is not installed, cmd/echo. A slow one beside it is always cmd/echo.
type backend struct {
	kind     string // nginx or echo
	version  string
	child    *child
	slow     *child // nil unless it was asked for
	slowAddr string
	port     string
	port2    string // on which it speaks HTTP/2
	most     int    // addresses that it listens on beside 127.0.0.1
	config   string
}

// backendSpec says what the scenarios need.
type backendSpec struct {
	nginx string // path, or empty
	echo  string // path
	dir   string
	most  int // members of the largest set
	slow  bool
	conns int // connections that it must take
}

func startBackend(ctx context.Context, f *family, spec backendSpec) (*backend, error) {
	b := &backend{kind: "echo", most: spec.most}
	if spec.nginx != "" {
		b.kind = "nginx"
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	addr2, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, b.port2, _ = net.SplitHostPort(addr2)
	if _, b.port, err = net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("cannot use address %q: %w", addr, err)
	}
	if b.kind == "nginx" {
		out, _ := output(ctx, spec.nginx, "-v")
		b.version = "nginx " + versionNumber.FindString(out) + ", one worker"
		err = b.startNginx(f, spec)
	} else {
		b.version = "cmd/echo"
		b.child, err = startEcho(f, spec.echo, "127.0.0.1:"+b.port, "")
		if err == nil && spec.most > 1 {
			err = fmt.Errorf("cannot have %d backends without nginx: apt install nginx", spec.most)
		}
	}
	if err == nil && spec.slow {
		if b.slowAddr, err = freeAddr(); err == nil {
			b.slow, err = startEcho(f, spec.echo, b.slowAddr, slowLatency)
		}
	}
	if err == nil {
		err = b.await(ctx)
	}
	if err != nil {
		b.end()
		return nil, err
	}
	return b, nil
}

func startEcho(f *family, path, addr, latency string) (*child, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("cannot find the echo backend, make build builds it: %w", err)
	}
	args := []string{"--listen=" + addr, "--mode=http"}
	if latency != "" {
		args = append(args, "--latency="+latency)
	}
	return f.start(childSpec{name: "backend echo", path: path, args: args, env: childEnviron(), stop: syscall.SIGKILL})
}

func (b *backend) startNginx(f *family, spec backendSpec) error {
	dir := filepath.Join(spec.dir, "backend")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the backend's directory %q: %w", dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "1m"), []byte(strings.Repeat("d", megabyte)), 0o644); err != nil {
		return fmt.Errorf("cannot write the backend's file: %w", err)
	}
	b.config = b.nginxConfig(spec.conns)
	args, err := writeNginx(dir, b.config)
	if err != nil {
		return err
	}
	b.child, err = f.start(childSpec{name: "backend nginx", path: spec.nginx, args: args, env: childEnviron(), dir: dir, stop: syscall.SIGTERM})
	return err
}

// nginxConfig makes nginx read an upload to its end before it answers: it
// passes a request without the body on to itself, with the number of bytes
// that it has read, and answers with that number.
func (b *backend) nginxConfig(conns int) string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	s.WriteString(nginxMain(1, conns+b.most, ""))
	p("http {")
	s.WriteString(nginxHTTP)
	p("  sendfile on;")
	p("  open_file_cache max=10;")
	p("  upstream count {")
	p("    server unix:count.sock;") // in the directory that nginx runs in
	p("    keepalive 64;")
	p("    keepalive_requests 1000000000;")
	p("  }")
	p("  server {")
	p("    listen 127.0.0.1:%s backlog=4096;", b.port)
	for i := range b.most {
		p("    listen %s backlog=4096;", memberAddr(i, b.port))
	}
	p("    default_type text/plain;")
	p("    location / { return 200 %q; }", smallBody)
	p("    location = /1m { root .; }")
	p("    location = /status { stub_status; }")
	p("    location = /up {")
	p("      client_body_buffer_size 2m;")
	p("      proxy_pass http://count;")
	p("      proxy_http_version 1.1;")
	p(`      proxy_set_header Connection "";`)
	p("      proxy_pass_request_body off;")
	p(`      proxy_set_header Content-Length "";`)
	p("      proxy_set_header X-Bytes $request_length;")
	p("      proxy_method GET;")
	p("    }")
	p("  }")
	p("  server {")
	p("    listen 127.0.0.1:%s http2 backlog=4096;", b.port2)
	p("    default_type application/grpc;")
	p("    add_trailer grpc-status 0;")
	p("    location / { return 200 %q; }", smallBody)
	p("  }")
	p("  server {")
	p("    listen unix:count.sock;")
	p("    default_type text/plain;")
	p("    location / { return 200 $http_x_bytes; }")
	p("  }")
	p("}")
	return s.String()
}

// memberAddr is the address of the backend's member i, each of its own.
func memberAddr(i int, port string) string {
	return net.JoinHostPort(fmt.Sprintf("127.1.%d.%d", i/250, i%250+1), port)
}

// addrs returns the addresses of a set.
func (b *backend) addrs(set backendSet) ([]string, error) {
	if set.count == 1 && !set.slow {
		return []string{"127.0.0.1:" + b.port}, nil
	}
	fast := set.count
	if set.slow {
		fast--
	}
	if fast > b.most {
		return nil, fmt.Errorf("BUG: backends for %d members were asked for, there are %d", fast, b.most)
	}
	var addrs []string
	for i := range fast {
		addrs = append(addrs, memberAddr(i, b.port))
	}
	if set.slow {
		addrs = append(addrs, b.slowAddr)
	}
	return addrs, nil
}

// http2Addr returns where it speaks HTTP/2.
func (b *backend) http2Addr() ([]string, error) {
	if b.kind != "nginx" {
		return nil, fmt.Errorf("cannot have a backend of HTTP/2 without nginx: apt install nginx")
	}
	return []string{"127.0.0.1:" + b.port2}, nil
}

// path returns the path of requests that carry what is said.
func (b *backend) path(carry body) string {
	switch {
	case carry == up:
		return "/up"
	case carry == down && b.kind == "nginx":
		return "/1m"
	case carry == down:
		return fmt.Sprintf("/bytes/%d", megabyte)
	}
	return "/"
}

// verify judges the body of a response. The slow backend, cmd/echo, may have
// answered in place of nginx.
func (b *backend) verify(carry body, data []byte) error {
	switch carry {
	case down:
		if len(data) != megabyte && !(b.slow != nil && len(data) < 200) {
			return fmt.Errorf("unexpected size of a response; got %d; want %d", len(data), megabyte)
		}
	case up:
		if len(data) == megabyte { // echoed
			return nil
		}
		// nginx counts the head of the request, too.
		n, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil || n < megabyte || n > megabyte+4096 {
			return fmt.Errorf("unexpected number of bytes that reached the backend; got %.40q; want %d and a head", data, megabyte)
		}
	default:
		if len(data) == 0 {
			return fmt.Errorf("unexpected empty response")
		}
	}
	return nil
}

// await returns when the backend answers.
func (b *backend) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if err := b.died(); err != nil {
			return err
		}
		_, err := b.get(ctx, "127.0.0.1:"+b.port, "/")
		if err == nil && b.slow != nil {
			_, err = b.get(ctx, b.slowAddr, "/")
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot get an answer from the backend: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (b *backend) get(ctx context.Context, addr, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("unexpected status of %s: %s", path, resp.Status)
	}
	return string(data), err
}

// stubStatus is the line of nginx's status page that counts accepted and
// handled connections and requests.
var stubStatus = regexp.MustCompile(`(?m)^ *(\d+) +(\d+) +(\d+) *$`)

// requests returns how many requests nginx has served, this one included, and
// false for a backend that does not count.
func (b *backend) requests(ctx context.Context) (int64, bool) {
	if b.kind != "nginx" {
		return 0, false
	}
	page, err := b.get(ctx, "127.0.0.1:"+b.port, "/status")
	if err != nil {
		return 0, false
	}
	m := stubStatus.FindStringSubmatch(page)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[3], 10, 64)
	return n, err == nil
}

func (b *backend) died() error {
	for _, c := range []*child{b.child, b.slow} {
		if c != nil {
			if err := c.died(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *backend) end() {
	for _, c := range []*child{b.child, b.slow} {
		if c != nil {
			c.end()
		}
	}
}
