package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// role is what a proxy is there for.
type role string

const (
	roleSubject role = "sluice"
	rolePeer    role = "peer"
	roleDirect  role = "none" // the load goes straight to the backend
)

// proxy is a program that can be measured.
type proxy struct {
	name     string
	role     role
	path     string   // of its binary
	layers   []layer  // that it has
	bulkOnly bool     // a variant for large bodies
	tls      bool     // it can end TLS here
	speaks   []spoken // beside HTTP/1.1
	optional bool     // not missed unless it is asked for
	install  string   // how to get it
	version  []string // arguments that make it print its version
	note     string   // for reports: how it is set up
	stop     syscall.Signal
	// launch writes the configuration and returns how to start the program.
	launch func(launch) (launched, error)
}

// takesPart reports whether p is measured in the scenario s.
func (p proxy) takesPart(s scenario) bool {
	if p.role == roleDirect {
		return s.direct
	}
	if p.bulkOnly && !s.bulk() || s.tls && !p.tls {
		return false
	}
	return slices.Contains(p.layers, s.layer) && (s.speaks == http1 || slices.Contains(p.speaks, s.speaks))
}

// launch is what a proxy is to do.
type launch struct {
	dir      string // its own, for files
	threads  int
	maxConns int    // client connections that it must take
	l4, l7   string // addresses to listen on, for those that cannot choose
	backends []string
	slow     bool      // one backend is slow: choose by load
	tls      certFiles // for both listeners; empty without TLS
	speaks   spoken
}

// launched is how to start a proxy.
type launched struct {
	args   []string
	env    []string // added to the environment
	config string   // for reports
}

// instance is a running proxy. Its owner calls end.
type instance struct {
	proxy         proxy
	child         *child // nil without a proxy
	l4, l7, admin string // addresses
	tls           bool   // that they are spoken to with
	speaks        spoken
	dir           string
	command       string
	config        string
}

func (in *instance) addr(l layer) string {
	if l == l4 {
		return in.l4
	}
	return in.l7
}

// url is what a scenario asks an instance for.
func (s *suite) url(in *instance, sc scenario) string {
	return in.scheme() + in.addr(sc.layer) + s.backend.path(sc.body)
}

func (in *instance) scheme() string {
	if in.tls {
		return "https://"
	}
	return "http://"
}

func (in *instance) end() {
	if in.child != nil {
		in.child.end()
	}
	if in.dir != "" {
		_ = os.RemoveAll(in.dir) // inside the suite's directory, which goes too
	}
}

func (in *instance) died() error {
	if in.child == nil {
		return nil
	}
	return in.child.died()
}

// startProxy starts p before the backends of a scenario and returns when it
// serves requests.
func (s *suite) startProxy(ctx context.Context, p proxy, sc scenario) (*instance, error) {
	addrs, err := s.backend.addrs(sc.backends)
	if err == nil && sc.speaks == grpc {
		addrs, err = s.backend.http2Addr()
	}
	if err != nil {
		return nil, err
	}
	if p.role == roleDirect {
		return &instance{proxy: p, l4: addrs[0], l7: addrs[0]}, nil
	}
	dir, err := os.MkdirTemp(s.dir, p.name+"-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a directory for %s: %w", p.name, err)
	}
	in := &instance{proxy: p, dir: dir, tls: sc.tls, speaks: sc.speaks}
	if in.l4, err = freeAddr(); err == nil {
		in.l7, err = freeAddr()
	}
	if err != nil {
		in.end()
		return nil, err
	}
	what := launch{
		dir: dir, threads: s.machine.Cores, maxConns: s.maxConns,
		l4: in.l4, l7: in.l7, backends: addrs, slow: sc.backends.slow, speaks: sc.speaks,
	}
	if sc.tls {
		what.tls = s.cert
	}
	how, err := p.launch(what)
	if err != nil {
		in.end()
		return nil, err
	}
	spec := childSpec{name: p.name, path: p.path, args: how.args, env: append(childEnviron(), how.env...), stop: p.stop}
	bound := make(chan map[string]string, 1)
	if p.role == roleSubject {
		spec.onLine = collectListeners(bound)
	}
	if in.child, err = s.family.start(spec); err != nil {
		in.end()
		return nil, err
	}
	in.command = strings.Join(append([]string{p.path}, how.args...), " ")
	in.config = how.config

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if p.role == roleSubject {
		select {
		case found := <-bound:
			in.l4, in.l7, in.admin = found["l4"], found["l7"], found["admin"]
		case <-in.child.done:
			err = in.child.died()
		case <-ctx.Done():
			err = fmt.Errorf("cannot find the addresses of %s in its log: %w; its last output:\n%s", p.name, ctx.Err(), in.child.out)
		}
	}
	if err == nil {
		err = s.awaitReady(ctx, in)
	}
	if err != nil {
		in.end()
		return nil, err
	}
	return in, nil
}

const startTimeout = 15 * time.Second

// awaitReady waits until requests of every kind come through right, on every
// layer that the proxy has.
func (s *suite) awaitReady(ctx context.Context, in *instance) error {
	var last error
	for {
		if err := in.died(); err != nil {
			return err
		}
		if last = s.check(ctx, in); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot get a request through %s: %w", in.proxy.name, errors.Join(last, in.died()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// check sends a request of each kind through the proxy and compares what comes
// back: what is measured must have been served.
func (s *suite) check(ctx context.Context, in *instance) error {
	tr := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // of loopback, and made by the bench itself
	}
	layers := in.proxy.layers
	if in.speaks != http1 {
		layers = []layer{l7}
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: tr}
	get := func(method, url string, body io.Reader) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, method, url, body)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("unexpected status of %s: %s", url, resp.Status)
		}
		return data, err
	}
	if in.admin != "" && in.speaks == http1 {
		if _, err := get(http.MethodGet, "http://"+in.admin+"/readyz", nil); err != nil {
			return err
		}
	}
	for _, l := range layers {
		base := in.scheme() + in.addr(l)
		bodies := []body{small, down, up}
		if in.speaks == grpc {
			bodies = []body{small}
		}
		for _, b := range bodies {
			method, send := http.MethodGet, io.Reader(nil)
			if b == up {
				method, send = http.MethodPost, strings.NewReader(strings.Repeat("u", megabyte))
			}
			data, err := get(method, base+s.backend.path(b), send)
			if err != nil {
				return err
			}
			if err := s.backend.verify(b, data); err != nil {
				return fmt.Errorf("%s through %s: %w", b, in.proxy.name, err)
			}
		}
	}
	return nil
}

// freeAddr returns an address on which nothing listens. Its port is below
// those that the kernel gives to outgoing connections, so that none of the
// load's own connections takes it meanwhile.
func freeAddr() (string, error) {
	var err error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		var ln net.Listener
		if ln, err = net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr, nil
		}
	}
	return "", fmt.Errorf("cannot find a free port: %w", err)
}

// childEnviron is the bench's environment without what would configure a proxy.
func childEnviron() []string {
	var env []string
	for _, kv := range os.Environ() {
		switch {
		case strings.HasPrefix(kv, "SLUICE_"), strings.HasPrefix(kv, "CONSUL_"), strings.HasPrefix(kv, "FABIO_"),
			strings.HasPrefix(kv, "TRAEFIK_"), strings.HasPrefix(kv, "NGINX="):
		default:
			env = append(env, kv)
		}
	}
	return env
}

// find sets the path of the peers' binaries and splits them into those that
// are there and lines about those that are not.
func find(peers []proxy, only []string) (found []proxy, skipped []string, err error) {
	wanted := func(p proxy) bool { return len(only) == 0 || slices.Contains(only, p.name) }
	known := make(map[string]bool)
	for _, p := range peers {
		known[p.name] = true
		if !wanted(p) {
			continue
		}
		path, err := lookPath(p.path)
		if err != nil {
			if len(only) > 0 || !p.optional && !p.bulkOnly {
				skipped = append(skipped, fmt.Sprintf("%s is not installed: %s", p.name, p.install))
			}
			continue
		}
		p.path = path
		found = append(found, p)
	}
	for _, name := range only {
		if !known[name] && name != "none" {
			return nil, nil, fmt.Errorf("cannot use --peers %q: there is no such peer", name)
		}
	}
	return found, skipped, nil
}

// lookPath also looks where administrators' programs are, which PATH does not
// always name.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if p, e := exec.LookPath(filepath.Join(dir, name)); e == nil {
			return p, nil
		}
	}
	return "", err
}

// versionNumber is the first thing in an output that looks like a version.
var versionNumber = regexp.MustCompile(`v?\d+\.\d+[-+.~\w]*`)

func (p proxy) versionText(ctx context.Context) string {
	if p.role == roleDirect {
		return ""
	}
	out, err := output(ctx, p.path, p.version...)
	if p.role == roleSubject && err == nil {
		return strings.TrimSpace(out)
	}
	if v := versionNumber.FindString(out); v != "" {
		return v
	}
	// A binary built from source may know no number.
	if line := firstLine(strings.TrimSpace(out)); line != "" && len(line) < 60 {
		return line
	}
	return "unknown"
}
