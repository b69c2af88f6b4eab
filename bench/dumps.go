package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dump is one file of --metrics-dump: what /metrics said at a time.
type dump struct {
	at      time.Time
	process string            // empty if the file's name does not say
	kinds   map[string]string // by the metric's name: counter, gauge, histogram
	samples []reading
}

// reading is a line of a dump.
type reading struct {
	name   string
	labels string // as written, between braces
	value  float64
}

// dumpName is how sluice names them; anybody may name others by a time alone.
var dumpName = regexp.MustCompile(`(\d{8}T\d{6}(?:\.\d+)?Z)(?:-(\d+))?`)

// maxDumps bounds how many are read.
const maxDumps = 100_000

// readDumps reads all dumps of a directory, in the order of their times. A file
// whose name has no time in it is as old as it was changed last.
func readDumps(dir string) ([]dump, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.prom"))
	if err != nil {
		return nil, fmt.Errorf("cannot look for dumps in %q: %w", dir, err)
	}
	if len(paths) < 2 || len(paths) > maxDumps {
		return nil, fmt.Errorf("cannot plot %d dumps (*.prom) in %q: it takes from 2 to %d", len(paths), dir, maxDumps)
	}
	var dumps []dump
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was the oldest one, of a sluice that runs
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the dump: %w", err)
		}
		d, err := parseDump(string(text))
		if err != nil {
			return nil, fmt.Errorf("cannot read the dump %q: %w", path, err)
		}
		if d.at, d.process, err = dumpTime(path); err != nil {
			return nil, err
		}
		dumps = append(dumps, d)
	}
	slices.SortStableFunc(dumps, func(a, b dump) int { return a.at.Compare(b.at) })
	return dumps, nil
}

func dumpTime(path string) (at time.Time, process string, err error) {
	if m := dumpName.FindStringSubmatch(filepath.Base(path)); m != nil {
		if at, err = time.Parse("20060102T150405Z", m[1]); err != nil {
			return at, "", fmt.Errorf("cannot read the time of the dump %q: %w", path, err)
		}
		return at, m[2], nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return at, "", fmt.Errorf("cannot read the time of the dump: %w", err)
	}
	return info.ModTime(), "", nil
}

// parseDump reads Prometheus's text format.
func parseDump(text string) (dump, error) {
	d := dump{kinds: make(map[string]string)}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			if name, kind, ok := strings.Cut(rest, " "); ok {
				d.kinds[name] = kind
			}
		}
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseSample(line)
		if err != nil {
			return d, fmt.Errorf("line %d: %w", number, err)
		}
		d.samples = append(d.samples, s)
	}
	return d, nil
}

func parseSample(line string) (s reading, err error) {
	end := strings.IndexAny(line, "{ ")
	if end < 1 {
		return s, fmt.Errorf("%q is no sample", line)
	}
	s.name = line[:end]
	rest := line[end:]
	if rest[0] == '{' {
		i := labelsEnd(rest)
		if i < 0 {
			return s, fmt.Errorf("%q has labels without an end", line)
		}
		s.labels, rest = rest[1:i], rest[i+1:]
	}
	fields := strings.Fields(rest) // a time may follow
	if len(fields) == 0 {
		return s, fmt.Errorf("%q has no value", line)
	}
	if s.value, err = strconv.ParseFloat(fields[0], 64); err != nil {
		return s, fmt.Errorf("%q is no value", fields[0])
	}
	return s, nil
}

// labelsEnd returns the index of the brace that ends the labels at the beginning
// of text, -1 if there is none. Values may have braces in them.
func labelsEnd(text string) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '}' && !quoted:
			return i
		}
	}
	return -1
}

var labelPair = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)

// label returns the value of a label, empty if the sample does not have it.
func (s reading) label(name string) string {
	for _, m := range labelPair.FindAllStringSubmatch(s.labels, -1) {
		if m[1] == name {
			return m[2]
		}
	}
	return ""
}

// groupBy returns the values of the labels, as they name a line.
func (s reading) groupBy(labels []string) string {
	var values []string
	for _, l := range labels {
		if v := s.label(l); v != "" {
			values = append(values, v)
		}
	}
	return strings.Join(values, " ")
}

// processes parts dumps by the process that wrote them, in the order in which
// they began.
func processes(dumps []dump) (all [][]dump) {
	at := make(map[string]int)
	for _, d := range dumps {
		i, ok := at[d.process]
		if !ok {
			i = len(all)
			at[d.process], all = i, append(all, nil)
		}
		all[i] = append(all[i], d)
	}
	return all
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
