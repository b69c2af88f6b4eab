package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// microbench runs the repository's Go benchmarks and compares them with the
// last committed result.
func microbench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var (
		root, pattern, benchtime string
		count                    int
		update                   bool
	)
	flags := newFlags("bench microbench", "bench microbench runs the repository's Go benchmarks and compares them with\nbench/results/microbench.txt by benchstat.", stderr)
	flags.BoolVar(&update, "update", false, "write the new result to bench/results/microbench.txt")
	flags.StringVar(&pattern, "bench", ".", "`pattern` of the benchmarks to run")
	flags.IntVar(&count, "count", 6, "`times` to run each; benchstat wants at least 6")
	flags.StringVar(&benchtime, "benchtime", "0.5s", "`time` of each, as for go test")
	flags.StringVar(&root, "root", "", "`directory` of sluice's checkout, default the one around the current directory")
	if err := parse(flags, args); err != nil {
		return asUsage(err)
	}
	root, err := findRoot(root)
	if err != nil {
		return usageError{err}
	}
	packages, err := benchmarkPackages(root)
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return errors.New("cannot find any benchmark")
	}

	test := append([]string{"test", "-run=^$", "-bench=" + pattern, "-benchmem", fmt.Sprintf("-count=%d", count), "-benchtime=" + benchtime, "-timeout=30m"}, packages...)
	fmt.Fprintf(stdout, "go %s\n", strings.Join(test, " "))
	var result bytes.Buffer
	cmd := command(ctx, root, "go", test...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&result, stdout), stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errStopped
		}
		return fmt.Errorf("cannot run the benchmarks: %w", err)
	}
	if !bytes.Contains(result.Bytes(), []byte("\nBenchmark")) {
		return fmt.Errorf("cannot find a benchmark that matches --bench %q", pattern)
	}

	last := filepath.Join(root, "bench", "results", "microbench.txt")
	_, statErr := os.Stat(last)
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
		if !update {
			fmt.Fprintln(stdout, "\nThere is no bench/results/microbench.txt to compare with; --update writes it.")
		}
	default:
		if err := benchstat(ctx, root, last, result.Bytes(), stdout, stderr); err != nil {
			return err
		}
	}
	if !update {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(last), 0o755); err != nil {
		return fmt.Errorf("cannot make the directory of %q: %w", last, err)
	}
	head := fmt.Sprintf("commit: %s\ngo: %s\n", commit(ctx, root), goVersion(ctx, root))
	if err := writeFile(last, append([]byte(head), benchLines(result.String())...)); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "written to bench/results/microbench.txt")
	return nil
}

// benchstat compares the file last with a new result; it is built from tools/.
func benchstat(ctx context.Context, root, last string, result []byte, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	now := filepath.Join(dir, "now.txt")
	if err := writeFile(now, benchLines(string(result))); err != nil {
		return err
	}
	fmt.Fprintln(stdout)
	cmd := command(ctx, filepath.Join(root, "tools"), "go", "tool", "benchstat", "-ignore=commit,go", "committed="+last, "now="+now)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot run benchstat: %w", err)
	}
	return nil
}

// command is a child that gets an interrupt, which go passes on, when ctx ends.
func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

var benchmarkFunc = regexp.MustCompile(`(?m)^func Benchmark\w*\(`)

// benchmarkPackages returns the packages of the module at root that have
// benchmarks, as arguments for go test.
func benchmarkPackages(root string) ([]string, error) {
	var packages []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, modErr := os.Stat(filepath.Join(path, "go.mod"))
			hidden := strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"
			if path != root && (modErr == nil || hidden) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if benchmarkFunc.Match(data) {
			rel, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			packages = append(packages, "./"+filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot look for benchmarks in %q: %w", root, err)
	}
	slices.Sort(packages)
	return slices.Compact(packages), nil
}

// benchLines keeps the lines that benchstat reads.
func benchLines(out string) []byte {
	var kept strings.Builder
	for line := range strings.Lines(out) {
		for _, prefix := range []string{"Benchmark", "goos:", "goarch:", "pkg:", "cpu:"} {
			if strings.HasPrefix(line, prefix) {
				kept.WriteString(line)
				break
			}
		}
	}
	return []byte(kept.String())
}

func goVersion(ctx context.Context, root string) string {
	cmd := command(ctx, root, "go", "env", "GOVERSION")
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
