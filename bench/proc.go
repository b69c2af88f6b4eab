package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// procStat is what a line of /proc/PID/stat says that matters here.
type procStat struct {
	pid, ppid int
	ticks     int64  // of user and system time
	started   uint64 // ticks since boot; with pid it names a process for good
	rssPages  int64
	state     byte
}

// parseStat reads the content of /proc/PID/stat. The name of the program, in
// parentheses, may itself hold spaces and parentheses.
func parseStat(data string) (procStat, error) {
	var s procStat
	open, end := strings.IndexByte(data, '('), strings.LastIndexByte(data, ')')
	if open < 1 || end < open {
		return s, fmt.Errorf("cannot read the process state %q: no name in parentheses", data)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(data[:open]))
	if err != nil {
		return s, fmt.Errorf("cannot read the process state %q: %w", data, err)
	}
	// fields[0] is the third of proc(5).
	fields := strings.Fields(data[end+1:])
	if len(fields) < 22 {
		return s, fmt.Errorf("cannot read the process state %q: %d fields after the name", data, len(fields))
	}
	number := func(field int) int64 {
		n, e := strconv.ParseInt(fields[field-3], 10, 64)
		err = errors.Join(err, e)
		return n
	}
	s = procStat{
		pid:      pid,
		ppid:     int(number(4)),
		ticks:    number(14) + number(15),
		started:  uint64(number(22)),
		rssPages: number(24),
		state:    fields[0][0],
	}
	if err != nil {
		return s, fmt.Errorf("cannot read the process state %q: %w", data, err)
	}
	return s, nil
}

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, fmt.Errorf("cannot read the state of process %d: %w", pid, err)
	}
	return parseStat(string(data))
}

// processTree returns the process pid, first, and all that descend from it.
func processTree(pid int) ([]procStat, error) {
	root, err := readStat(pid)
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	children := make(map[int][]procStat)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		if s, err := parseStat(string(data)); err == nil {
			children[s.ppid] = append(children[s.ppid], s)
		}
	}
	tree := []procStat{root}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree, nil
}

// usage is what a proxy, with all its workers, has used.
type usage struct {
	cpu time.Duration
	rss int64 // bytes
}

// treeUsage returns the usage of a process and its descendants.
func treeUsage(pid int, ticksPerSecond int64) (usage, error) {
	tree, err := processTree(pid)
	if err != nil {
		return usage{}, err
	}
	var u usage
	for _, s := range tree {
		u.cpu += time.Duration(s.ticks) * time.Second / time.Duration(ticksPerSecond)
		u.rss += residentBytes(s)
	}
	return u, nil
}

// residentBytes prefers smaps_rollup: the count in stat lags by some hundred
// pages since Linux 6.2.
func residentBytes(s procStat) int64 {
	if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.pid)); err == nil {
		if n, ok := parseRollup(string(data)); ok {
			return n
		}
	}
	return s.rssPages * int64(os.Getpagesize())
}

// parseRollup returns the bytes that the Rss line of smaps_rollup gives.
func parseRollup(data string) (int64, bool) {
	for line := range strings.Lines(data) {
		if rest, ok := strings.CutPrefix(line, "Rss:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}

// clockTicks returns the ticks of /proc per second, as the kernel tells every
// process in its auxiliary vector; 100 if it does not.
func clockTicks() int64 {
	const atClockTick = 17
	data, err := os.ReadFile("/proc/self/auxv")
	if errors.Is(err, fs.ErrNotExist) {
		return 100
	}
	for r := bytes.NewReader(data); r.Len() >= 16; {
		var entry [2]uint64
		if binary.Read(r, binary.NativeEndian, &entry) != nil {
			break
		}
		if entry[0] == atClockTick && entry[1] > 0 {
			return int64(entry[1])
		}
	}
	return 100
}
