package main

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what figures depend on beside the programs.
type Machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	MemoryMB   int64  `json:"memory_mb"`
	Kernel     string `json:"kernel"`
	Arch       string `json:"arch"`
	Go         string `json:"go"`
	Wrk        string `json:"wrk,omitempty"`
	Commit     string `json:"sluice_commit"`
	Load       string `json:"load_average"` // when the run began
	OpenFiles  uint64 `json:"open_files"`
	PortRange  string `json:"local_ports"`
	Hypervisor bool   `json:"virtual"`
}

func describeMachine(ctx context.Context, root, wrk string) Machine {
	m := Machine{Cores: runtime.NumCPU(), Arch: runtime.GOARCH, Go: runtime.Version(), CPU: "unknown", Kernel: "unknown"}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU, m.Hypervisor = parseCPU(string(data))
	}
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.MemoryMB = parseMemory(string(data))
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(data))[:3], " ")
	}
	if data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		m.PortRange = strings.Join(strings.Fields(string(data)), "-")
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		m.OpenFiles = limit.Cur
	}
	if wrk != "" {
		out, _ := output(ctx, wrk, "-v") // it exits with 1
		m.Wrk = versionNumber.FindString(out)
	}
	m.Commit = commit(ctx, root)
	return m
}

// commit is what is checked out, "-dirty" if anything but the bench differs.
func commit(ctx context.Context, root string) string {
	out, err := output(ctx, "git", "-C", root, "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "unknown"
	}
	id := strings.TrimSpace(out)
	changes, err := output(ctx, "git", "--no-optional-locks", "-C", root, "status", "--porcelain", "--", ".", ":!bench")
	if err == nil && strings.TrimSpace(changes) != "" {
		id += "-dirty"
	}
	return id
}

// parseCPU reads the model, and whether it is a virtual machine's, from
// /proc/cpuinfo.
func parseCPU(data string) (model string, virtual bool) {
	model = "unknown"
	for line := range strings.Lines(data) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags":
			for flag := range strings.FieldsSeq(value) {
				virtual = virtual || flag == "hypervisor"
			}
		}
	}
	return model, virtual
}

// parseMemory reads the megabytes of memory from /proc/meminfo.
func parseMemory(data string) int64 {
	for line := range strings.Lines(data) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return n >> 10
		}
	}
	return 0
}
