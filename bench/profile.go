package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// profileRows is how much of a profile's top is kept.
const profileRows = 40

// profileScenarios loads every sluice once more in each scenario, uncounted,
// and writes what its profiles say beside the result: taking a profile costs,
// so it is not done while counting.
func (s *suite) profileScenarios(ctx context.Context) error {
	dir := filepath.Join(s.opts.out, s.opts.name+"-profiles")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the directory %q: %w", dir, err)
	}
	defer s.endShared()
	for _, sc := range s.scenarios {
		if sc.kind == idleConns {
			continue
		}
		for _, p := range s.proxies {
			if p.role != roleSubject || !p.takesPart(sc) {
				continue
			}
			base := filepath.Join(dir, p.name+"-"+sc.name)
			s.printf("profile of %s in %s", p.name, sc.name)
			if err := s.profileOne(ctx, sc, p, base); err != nil {
				return fmt.Errorf("%s, %s: %w", sc.name, p.name, err)
			}
		}
	}
	s.note("profiles: %s-profiles", s.opts.name)
	return nil
}

// profileOne writes BASE.cpu.txt and BASE.allocs.txt, and the profiles that
// they are of as BASE.cpu.prof and so on.
func (s *suite) profileOne(ctx context.Context, sc scenario, p proxy, base string) error {
	in, release, err := s.obtain(ctx, sc, p)
	if err != nil {
		return err
	}
	defer release()
	before, after, cpu := base+".before.prof", base+".allocs.prof", base+".cpu.prof"
	allocs := func(file string) error { return fetchProfile(ctx, in, "allocs", file) }
	if err := allocs(before); err != nil {
		return err
	}
	if err := s.profiledLoad(ctx, sc, in, max(time.Second, s.opts.duration), cpu); err != nil {
		return err
	}
	if err := allocs(after); err != nil {
		return err
	}
	if err := pprofTop(ctx, base+".cpu.txt", cpu); err != nil {
		return err
	}
	if err := pprofTop(ctx, base+".allocs.txt", "-sample_index=alloc_space", "-diff_base="+before, after); err != nil {
		return err
	}
	return os.Remove(before)
}

// profiledLoad loads the proxy for d and takes a CPU profile meanwhile.
func (s *suite) profiledLoad(ctx context.Context, sc scenario, in *instance, d time.Duration, file string) error {
	// The profile takes whole seconds; the load lasts a little longer.
	d = d.Round(time.Second)
	fetched := make(chan error, 1)
	go func() {
		fetched <- fetchProfile(ctx, in, fmt.Sprintf("profile?seconds=%d", int(d.Seconds())), file)
	}()
	var err error
	if sc.kind == openLoop {
		_, err = generator{addr: in.addr(sc.layer), rate: s.opts.rate, conns: sc.conns, time: d + 200*time.Millisecond}.run(ctx)
	} else if sc.kind == resumeLoop {
		_, err = resumer{addr: in.addr(sc.layer), conns: sc.conns, time: d + 200*time.Millisecond}.run(ctx)
	} else {
		var r wrkResult
		r, err = s.runWrk(ctx, sc, d+200*time.Millisecond, s.url(in, sc))
		err = errors.Join(err, r.Errors.err())
	}
	return errors.Join(err, <-fetched, in.died())
}

// fetchProfile writes a profile from sluice's control plane to a file.
func fetchProfile(ctx context.Context, in *instance, what, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+in.admin+"/debug/pprof/"+what, nil)
	if err != nil {
		return fmt.Errorf("cannot ask for the profile %q: %w", what, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot fetch the profile %q: %w", what, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("unexpected status %s: %.200s", resp.Status, data)
	}
	if err != nil {
		return fmt.Errorf("cannot fetch the profile %q: %w", what, err)
	}
	return writeFile(file, data)
}

// pprofTop writes the top of a profile to a file.
func pprofTop(ctx context.Context, file string, args ...string) error {
	all := append([]string{"tool", "pprof", "-top", fmt.Sprintf("-nodecount=%d", profileRows)}, args...)
	cmd := exec.CommandContext(ctx, "go", all...)
	cmd.Stderr = io.Discard // where it read from
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cannot run go tool pprof for %q: %w", filepath.Base(file), err)
	}
	return writeFile(file, out)
}

// pgo collects CPU profiles of sluice under the loads that matter most and
// merges them to one file, for the compiler.
func pgo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var (
		o  options
		c  common
		to string
	)
	fs := newFlags("bench pgo", "bench pgo --to FILE collects a CPU profile of sluice in the keep-alive, connection\nand bulk scenarios of both layers and merges it to FILE, such as cmd/sluice/default.pgo.", stderr)
	fs.StringVar(&to, "to", "", "`file` to write, needed")
	fs.DurationVar(&o.duration, "duration", 5*time.Second, "`time` of each scenario, whole seconds")
	c.define(fs)
	if err := parse(fs, args); err != nil {
		return asUsage(err)
	}
	errs := []error{c.resolve(&o)}
	if to == "" {
		errs = append(errs, errors.New("cannot write the profile: --to is missing"))
	}
	if o.duration < time.Second || o.duration > time.Minute {
		errs = append(errs, fmt.Errorf("cannot use --duration %s: it is from 1s to 1m", o.duration))
	}
	if len(o.sluices) > 1 {
		errs = append(errs, errors.New("cannot profile more than one --sluice"))
	}
	if err := errors.Join(errs...); err != nil {
		return asUsage(err)
	}
	o.scenarios = "l?-keepalive,l?-connection,l?-down,l?-up"
	o.idleConns, o.rounds, o.peers = 1, 1, []string{"none"}
	s, err := newSuite(ctx, o, stdout)
	defer s.close()
	if err != nil {
		return err
	}

	var files []string
	for _, sc := range s.scenarios {
		s.printf("profile in %s", sc.name)
		in, release, err := s.obtain(ctx, sc, s.proxies[0])
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		file := filepath.Join(s.dir, sc.name+".prof")
		err = s.profiledLoad(ctx, sc, in, o.duration, file)
		release()
		if err != nil {
			if ctx.Err() != nil {
				return errStopped
			}
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		files = append(files, file)
	}
	merge := append([]string{"tool", "pprof", "-proto", "-output=" + to}, files...)
	if out, err := output(ctx, "go", merge...); err != nil {
		return fmt.Errorf("cannot merge the profiles: %w:\n%s", err, out)
	}
	s.printf("written to %s", to)
	return nil
}
