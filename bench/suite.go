package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// suite is a run: its children, its directory, and what it has measured.
type suite struct {
	opts      options
	out       io.Writer
	family    *family
	dir       string // for everything that a run needs and that goes with it
	wrk       string // path, empty if it is not installed
	h2load    string // likewise
	cert      certFiles
	ticks     int64
	maxConns  int
	machine   Machine
	backend   *backend
	proxies   []proxy
	scenarios []scenario
	result    Result
	shared    map[string]*instance // by proxy, those that live for a round
	absent    map[string]bool      // peers that do not start
	done      int                  // measurements
	planned   int
	started   time.Time
}

// newSuite finds out what there is to run with, and starts nothing but the
// backend. The caller closes what it returns, also beside an error.
func newSuite(ctx context.Context, opts options, out io.Writer) (*suite, error) {
	s := &suite{opts: opts, out: out, family: newFamily(), ticks: clockTicks(), shared: make(map[string]*instance), absent: make(map[string]bool), started: time.Now()}
	var err error
	if s.scenarios, err = selectScenarios(scenarios(opts.idleConns), opts.scenarios); err != nil {
		return s, err
	}
	if s.wrk, err = lookPath("wrk"); err != nil {
		s.wrk = ""
		for _, sc := range s.scenarios {
			if sc.kind == closedLoop {
				return s, fmt.Errorf("cannot run scenario %s: wrk is not installed: apt install wrk", sc.name)
			}
		}
	}
	peers, skipped, err := find(allPeers(ctx), opts.peers)
	if err != nil {
		return s, err
	}
	if s.h2load, err = lookPath("h2load"); err != nil {
		s.h2load = ""
		before := len(s.scenarios)
		s.scenarios = slices.DeleteFunc(s.scenarios, func(sc scenario) bool { return sc.kind == multiplex })
		if len(s.scenarios) == 0 {
			return s, fmt.Errorf("cannot run scenarios of HTTP/2: h2load is not installed: apt install nghttp2-client")
		}
		if len(s.scenarios) < before {
			skipped = append(skipped, "scenarios of HTTP/2, as h2load is not installed: apt install nghttp2-client")
		}
	}
	for _, sl := range opts.sluices {
		path, err := lookPath(sl.path)
		if err != nil {
			return s, fmt.Errorf("cannot find sluice, make build builds it: %w", err)
		}
		s.proxies = append(s.proxies, newSluice(sl.name, path, sl.args))
	}
	s.proxies = append(s.proxies, peers...)
	s.proxies = append(s.proxies, proxy{name: "none", role: roleDirect, note: "the load goes straight to the backend"})

	spec, err := s.needs()
	if err != nil {
		return s, err
	}
	if s.dir, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return s, fmt.Errorf("cannot make a directory: %w", err)
	}
	if err := writeScripts(s.dir); err != nil {
		return s, err
	}
	if s.cert, err = writeCert(s.dir); err != nil {
		return s, err
	}
	spec.dir = s.dir
	s.machine = describeMachine(ctx, opts.root, s.wrk)
	if s.backend, err = startBackend(ctx, s.family, spec); err != nil {
		return s, err
	}
	s.describe(ctx, skipped)
	return s, nil
}

// allPeers returns every peer that the bench knows.
func allPeers(ctx context.Context) []proxy {
	peers := append(haproxies(), nginxes(ctx)...)
	return append(peers, others()...)
}

// needs returns what the backend must be able to do, and sets how many
// connections the proxies must take, within the limit of open files.
func (s *suite) needs() (backendSpec, error) {
	conns := 256
	spec := backendSpec{echo: s.opts.echo}
	for _, sc := range s.scenarios {
		conns = max(conns, sc.conns)
		spec.slow = spec.slow || sc.backends.slow
		if sc.backends.count > 1 {
			spec.most = max(spec.most, sc.backends.count)
		}
		for _, p := range s.proxies {
			if p.takesPart(sc) {
				s.planned += s.opts.rounds
			}
		}
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return spec, fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	s.maxConns = conns + 1000
	// A proxy has two descriptors a connection, some for itself, and one or two
	// for each of its backends, of which it can do with fewer.
	if need := uint64(2*s.maxConns + spec.most + min(spec.most, 1000) + 500); limit.Cur < need {
		return spec, fmt.Errorf("cannot hold %d connections with %d open files (ulimit -n), it takes %d; --idle-conns and --scenarios ask for fewer", conns, limit.Cur, need)
	}
	spec.conns = 2 * s.maxConns
	if path, err := lookPath("nginx"); err == nil && !s.opts.echoBackend {
		spec.nginx = path
	}
	return spec, nil
}

// close ends all that was started and removes its files.
func (s *suite) close() {
	s.endShared()
	s.family.close()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // a temporary directory
	}
}

func (s *suite) endShared() {
	for name, in := range s.shared {
		in.end()
		delete(s.shared, name)
	}
}

func (s *suite) printf(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// run measures all rounds. On an error the result holds what was measured
// until then.
func (s *suite) run(ctx context.Context) error {
	for round := 1; round <= s.opts.rounds; round++ {
		if limit := s.opts.maxTime; round > 1 && limit > 0 {
			taken := time.Since(s.started)
			if taken+taken/time.Duration(round-1) > limit {
				s.note("stopped after %d of %d rounds: another would pass --max-time %s", round-1, s.opts.rounds, limit)
				break
			}
		}
		if err := s.round(ctx, round); err != nil {
			if ctx.Err() != nil {
				err = errStopped
			}
			return err
		}
		s.result.Rounds = round
	}
	return nil
}

// round measures every scenario once with every proxy. Who comes first
// changes from scenario to scenario and from round to round.
func (s *suite) round(ctx context.Context, round int) error {
	defer s.endShared()
	for i, sc := range s.scenarios {
		var taking []proxy
		for _, p := range s.proxies {
			if p.takesPart(sc) {
				taking = append(taking, p)
			}
		}
		for j := range taking {
			p := taking[(i+j+round-1)%len(taking)]
			if s.absent[p.name] {
				continue
			}
			m, err := s.measure(ctx, sc, p)
			if err != nil && p.role == rolePeer && ctx.Err() == nil && s.backend.died() == nil {
				s.leaveOut(p, sc, err)
				continue
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", sc.name, p.name, err)
			}
			m.Round = round
			s.result.Measurements = append(s.result.Measurements, m)
			s.done++
			s.progress(m)
		}
	}
	return nil
}

// leaveOut goes on without a peer that does not start, or has ended: an older
// version that is in PATH says nothing about the others.
func (s *suite) leaveOut(p proxy, sc scenario, err error) {
	s.note("%s is left out from %s on: %v", p.name, sc.name, err)
	if in := s.shared[p.name]; in != nil {
		in.end()
		delete(s.shared, p.name)
	}
	s.absent[p.name] = true
}

func (s *suite) progress(m Measurement) {
	left := time.Duration(float64(time.Since(s.started)) / float64(s.done) * float64(s.planned-s.done)).Round(time.Second)
	what := "FAILED: " + m.Failed
	if m.Failed == "" {
		what = m.summary()
	}
	s.printf("[round %d/%d, %s left] %-17s %-12s %s", m.Round, s.opts.rounds, left, m.Scenario, m.Proxy, what)
}

// obtain returns a running, warm proxy for the scenario and what ends it.
func (s *suite) obtain(ctx context.Context, sc scenario, p proxy) (*instance, func(), error) {
	if in := s.shared[p.name]; in != nil && !sc.fresh {
		return in, func() {}, in.died()
	}
	in, err := s.startProxy(ctx, p, sc)
	if err != nil {
		return nil, nil, err
	}
	s.record(in, sc)
	layers := p.layers
	if sc.fresh {
		layers = []layer{sc.layer}
	}
	for _, l := range layers {
		if err := s.warm(ctx, in, l, sc); err != nil {
			in.end()
			return nil, nil, fmt.Errorf("while warming up: %w", errors.Join(err, in.died()))
		}
	}
	if sc.fresh {
		return in, in.end, nil
	}
	s.shared[p.name] = in
	return in, func() {}, nil
}

// warmUp is how long a proxy is loaded before it is measured.
const warmUp = 500 * time.Millisecond

// settle is the pause before each measurement.
const settle = 50 * time.Millisecond

func (s *suite) warm(ctx context.Context, in *instance, l layer, sc scenario) error {
	// With many backends it takes longer until most have connections.
	d := min(warmUp, s.opts.duration) + time.Duration(sc.backends.count)*time.Millisecond
	if sc.kind == multiplex {
		_, err := s.runH2load(ctx, sc, d, s.url(in, sc))
		return err
	}
	if s.wrk == "" {
		_, err := generator{addr: in.addr(l), rate: 2000, conns: 16, time: d}.run(ctx)
		return err
	}
	w := scenario{layer: l, kind: closedLoop, body: small, conns: 64, close: sc.fresh && sc.close}
	_, err := s.runWrk(ctx, w, d, s.url(in, w))
	return err
}

// measure takes one measurement. What goes wrong with the load is in the
// measurement; an error means that the run cannot go on.
func (s *suite) measure(ctx context.Context, sc scenario, p proxy) (Measurement, error) {
	in, release, err := s.obtain(ctx, sc, p)
	if err != nil {
		return Measurement{}, err
	}
	defer release()
	// What the last load has left, such as connections to close, is not ours.
	if err := sleep(ctx, settle); err != nil {
		return Measurement{}, err
	}
	m := Measurement{Scenario: sc.name, Proxy: p.name}
	var before, after usage
	if in.child != nil {
		if before, err = treeUsage(in.child.pid, s.ticks); err != nil {
			return m, err
		}
	}
	served, counts := s.backend.requests(ctx)

	var loadErr error
	switch sc.kind {
	case closedLoop:
		loadErr = s.measureWrk(ctx, sc, in, &m)
	case multiplex:
		loadErr = s.measureH2load(ctx, sc, in, &m)
	case openLoop:
		loadErr = s.measureRate(ctx, sc, in, &m)
	case resumeLoop:
		loadErr = s.measureResumed(ctx, sc, in, &m)
	case idleConns:
		var held *heldConns
		held, loadErr = holdConns(ctx, in.addr(sc.layer), sc.conns)
		defer held.close()
		m.Requests = int64(sc.conns)
		if loadErr == nil {
			loadErr = sleep(ctx, min(idleSettle, s.opts.duration))
		}
	}
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	if err := errors.Join(in.died(), s.backend.died()); err != nil {
		return m, err
	}
	if in.child != nil {
		if after, err = treeUsage(in.child.pid, s.ticks); err != nil {
			return m, err
		}
		m.RSS = after.rss
		m.CPUSeconds = (after.cpu - before.cpu).Seconds()
		if m.Requests > 0 && sc.kind != idleConns {
			m.CPUMicros = m.CPUSeconds * 1e6 / float64(m.Requests)
		}
		if sc.kind == idleConns {
			m.IdleBytes = float64(after.rss-before.rss) / float64(sc.conns)
		}
	}
	if now, ok := s.backend.requests(ctx); counts && ok {
		m.BackendRequests = now - served
		if loadErr == nil && !sc.backends.slow && float64(m.BackendRequests) < 0.99*float64(m.Requests) {
			loadErr = fmt.Errorf("%d requests were answered but only %d reached the backend", m.Requests, m.BackendRequests)
		}
	}
	if loadErr != nil {
		m.Failed = s.neutral(loadErr.Error(), in)
	}
	return m, nil
}

func (s *suite) measureWrk(ctx context.Context, sc scenario, in *instance, m *Measurement) error {
	d := s.opts.duration
	if sc.part > 0 {
		d = time.Duration(float64(d) * sc.part).Round(100 * time.Millisecond)
	}
	r, err := s.runWrk(ctx, sc, d, s.url(in, sc))
	if err != nil {
		return err
	}
	m.Requests, m.Bytes, m.Seconds = r.Requests, r.Bytes, float64(r.Micros)/1e6
	m.RequestRate = float64(r.Requests) / m.Seconds
	m.P50, m.P99, m.P999, m.Max = r.P50, r.P99, r.P999, r.Max
	m.Errors = r.Errors
	if err := r.Errors.err(); err != nil {
		return err
	}
	if r.Requests == 0 {
		return errors.New("no request was answered")
	}
	if sc.body == down && r.Bytes < r.Requests*megabyte {
		return fmt.Errorf("%d responses had %d bytes, less than 1 MB each", r.Requests, r.Bytes)
	}
	return nil
}

func (s *suite) measureRate(ctx context.Context, sc scenario, in *instance, m *Measurement) error {
	d := s.opts.duration
	g := generator{addr: in.addr(sc.layer), rate: s.opts.rate, conns: sc.conns, time: d + d/5, warmup: d / 5}
	r, err := g.run(ctx)
	if err != nil {
		return err
	}
	micros := func(q float64) float64 { return float64(r.latency.ValueAtQuantile(q)) / 1e3 }
	m.Requests, m.Seconds = r.sent, r.elapsed.Seconds()
	m.RequestRate = float64(r.sent) / m.Seconds
	m.P50, m.P99, m.P999, m.Max = micros(50), micros(99), micros(99.9), float64(r.latency.Max())/1e3
	m.SendLateP99 = float64(r.lateness.ValueAtQuantile(99)) / 1e3
	return nil
}

func (s *suite) measureResumed(ctx context.Context, sc scenario, in *instance, m *Measurement) error {
	r, err := resumer{addr: in.addr(sc.layer), conns: sc.conns, time: s.opts.duration}.run(ctx)
	if err != nil {
		return err
	}
	micros := func(q float64) float64 { return float64(r.latency.ValueAtQuantile(q)) / 1e3 }
	m.Requests, m.Seconds = r.requests, r.elapsed.Seconds()
	m.RequestRate = float64(r.requests) / m.Seconds
	m.P50, m.P99, m.P999, m.Max = micros(50), micros(99), micros(99.9), float64(r.latency.Max())/1e3
	return nil
}

// note adds a line to the report and prints it.
func (s *suite) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s.result.Notes = append(s.result.Notes, line)
	s.printf("%s", line)
}

// record keeps how a proxy is run, once, for the simplest scenario it is in.
func (s *suite) record(in *instance, sc scenario) {
	if in.child == nil {
		return
	}
	for i := range s.result.Proxies {
		p := &s.result.Proxies[i]
		if p.Name == in.proxy.name && (p.Command == "" || p.backends > sc.backends.count) {
			p.backends = sc.backends.count
			p.Command = atMost(maxConfig, s.neutral(in.command, in))
			p.Config = atMost(maxConfig, s.neutral(in.config, in))
		}
	}
}

// maxConfig is how much of a command or configuration is kept: with a thousand
// backends most of it says the same.
const maxConfig = 6000

func atMost(n int, s string) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + " …"
}

// neutral replaces the paths of this machine in a text for the report.
func (s *suite) neutral(text string, in *instance) string {
	pairs := []string{s.dir, "$TMP"}
	if in != nil {
		pairs = append([]string{in.dir, "$DIR"}, pairs...)
		for _, sl := range s.opts.sluices {
			if in.proxy.name == sl.name {
				pairs = append(pairs, in.proxy.path, neutralPath(in.proxy.path, s.opts.root))
			}
		}
	}
	return strings.NewReplacer(append(pairs, s.opts.root+"/", "")...).Replace(text)
}

// neutralPath shortens an absolute path: what is inside root is relative to
// it, of others the last part is kept.
func neutralPath(path, root string) string {
	switch rel, inside := strings.CutPrefix(path, root+"/"); {
	case inside:
		return rel
	case path == root:
		return "."
	case filepath.IsAbs(path):
		return filepath.Base(path)
	}
	return path
}

// neutralCommand is a command line for the report, where paths may be values.
func neutralCommand(args []string, root string) string {
	words := []string{"bench"}
	for _, a := range args {
		parts := strings.Split(a, "=")
		for i := range parts {
			parts[i] = neutralPath(parts[i], root)
		}
		words = append(words, strings.Join(parts, "="))
	}
	return strings.Join(words, " ")
}

// describe fills in what does not depend on measurements.
func (s *suite) describe(ctx context.Context, skipped []string) {
	r := &s.result
	r.Name, r.Started, r.Command = s.opts.name, s.started.UTC().Truncate(time.Second), s.opts.command
	r.Duration, r.Rate, r.Machine = s.opts.duration.String(), s.opts.rate, s.machine
	r.Backend = s.backend.version
	r.BackendConfig = shorten(s.neutral(s.backend.config, nil))
	for _, line := range skipped {
		s.note("skipped: %s", line)
	}
	for _, p := range s.proxies {
		used := false
		for _, sc := range s.scenarios {
			used = used || p.takesPart(sc)
		}
		if used {
			r.Proxies = append(r.Proxies, ProxyInfo{Name: p.name, Role: p.role, Version: p.versionText(ctx), Note: p.note})
		}
	}
	for _, sc := range s.scenarios {
		title := sc.title
		if sc.kind == openLoop {
			title = fmt.Sprintf("%s: %d requests/s over %d connections", title, s.opts.rate, sc.conns)
		}
		r.Scenarios = append(r.Scenarios, ScenarioInfo{Name: sc.name, Title: title, Kind: sc.kind, Unit: sc.unit()})
	}
}

// unit is what is counted as a request.
func (s scenario) unit() string {
	switch {
	case s.bulk():
		return "MB"
	case s.close:
		return "connection"
	}
	return "request"
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
