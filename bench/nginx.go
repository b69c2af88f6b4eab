package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// nginxes returns nginx with its own buffers and with large ones.
func nginxes(ctx context.Context) []proxy {
	base := proxy{
		name: "nginx", role: rolePeer, path: "nginx", layers: []layer{l4, l7}, tls: true, speaks: []spoken{http2},
		install: "apt install nginx libnginx-mod-stream", version: []string{"-v"}, stop: syscall.SIGTERM,
		note: "reuseport, upstream keepalive, bodies not spooled to files",
	}
	stream := streamModule{}
	if path, err := lookPath(base.path); err == nil {
		stream = findStream(ctx, path)
	}
	if !stream.there {
		base.layers = []layer{l7}
		base.note += "; no stream module, so no L4: apt install libnginx-mod-stream"
	}
	base.launch = func(l launch) (launched, error) { return launchNginx(l, stream, false) }
	large := base
	large.name, large.bulkOnly = "nginx-64k", true
	large.note += ", buffers of 64 kB"
	large.launch = func(l launch) (launched, error) { return launchNginx(l, stream, true) }
	return []proxy{base, large}
}

// streamModule is how nginx comes by its L4 part.
type streamModule struct {
	there bool
	load  string // path of the module if it is not built in
}

// findStream asks the binary at path whether it has the stream module, and
// looks for it where Debian and nginx's own packages put it.
func findStream(ctx context.Context, path string) streamModule {
	out, _ := output(ctx, path, "-V")
	dirs := []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/etc/nginx/modules"}
	for arg := range strings.FieldsSeq(out) {
		if arg == "--with-stream" {
			return streamModule{there: true}
		}
		if dir, ok := strings.CutPrefix(arg, "--modules-path="); ok {
			dirs = append([]string{dir}, dirs...)
		}
	}
	for _, dir := range dirs {
		module := filepath.Join(dir, "ngx_stream_module.so")
		if _, err := os.Stat(module); err == nil {
			return streamModule{there: true, load: module}
		}
	}
	return streamModule{}
}

func launchNginx(l launch, stream streamModule, large bool) (launched, error) {
	config := nginxConfig(l, stream, large)
	args, err := writeNginx(l.dir, config)
	return launched{args: args, config: config}, err
}

// writeNginx writes a configuration and returns the arguments to run it.
func writeNginx(dir, config string) ([]string, error) {
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write the configuration of nginx: %w", err)
	}
	return []string{"-p", dir + "/", "-e", "stderr", "-c", file}, nil
}

// nginxMain is the beginning of every configuration: all that is not about
// serving.
func nginxMain(workers, conns int, load string) string {
	var b strings.Builder
	if load != "" {
		fmt.Fprintf(&b, "load_module %s;\n", load)
	}
	if isRoot() {
		b.WriteString("user root;\n") // else its workers could not read their directory
	}
	fmt.Fprintf(&b, `worker_processes %d;
daemon off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections %d; }
`, workers, conns)
	return b.String()
}

// nginxHTTP is the beginning of every http block.
const nginxHTTP = `  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 5m;
  keepalive_requests 1000000000;
  client_max_body_size 0;
`

func nginxConfig(l launch, stream streamModule, large bool) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	upstream := func(keepalive bool) {
		p("  upstream backends {")
		if l.slow {
			p("    least_conn;")
		}
		for _, addr := range l.backends {
			p("    server %s;", addr)
		}
		if keepalive {
			p("    keepalive 1024;")
			p("    keepalive_requests 1000000000;")
			p("    keepalive_timeout 5m;")
		}
		p("  }")
	}
	listen := func(addr string) {
		if l.tls.cert == "" {
			how := ""
			if l.speaks != http1 && addr == l.l7 {
				how = " http2"
			}
			p("    listen %s reuseport%s;", addr, how)
			return
		}
		p("    listen %s ssl reuseport;", addr)
		p("    ssl_certificate %s;", l.tls.cert)
		p("    ssl_certificate_key %s;", l.tls.key)
		p("    ssl_protocols TLSv1.2 TLSv1.3;") // as newer versions have it
	}
	b.WriteString(nginxMain(l.threads, 2*l.maxConns, stream.load))
	if stream.there {
		p("stream {")
		upstream(false)
		p("  server {")
		listen(l.l4)
		p("    proxy_pass backends;")
		if large {
			p("    proxy_buffer_size 64k;")
		}
		p("  }")
		p("}")
	}
	p("http {")
	b.WriteString(nginxHTTP)
	upstream(true)
	p("  server {")
	listen(l.l7)
	p("    location / {")
	p("      proxy_pass http://backends;")
	p("      proxy_http_version 1.1;")
	p(`      proxy_set_header Connection "";`)
	p("      proxy_set_header Host $host;")
	p("      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;")
	p("      proxy_request_buffering off;")
	p("      proxy_max_temp_file_size 0;")
	if large {
		p("      client_body_buffer_size 64k;")
		p("      proxy_buffer_size 64k;")
		p("      proxy_buffers 8 64k;")
		p("      proxy_busy_buffers_size 128k;")
	}
	p("    }")
	p("  }")
	p("}")
	return b.String()
}
