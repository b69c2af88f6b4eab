package cgroup

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// unlimited is what version 1 shows, less than a page below it, where there is
// no limit.
const unlimited = math.MaxInt64 - 1<<20

// MemoryLimit returns how many bytes of memory the control groups that this
// process is in, and those around them, allow: the least of them, of version 1
// and 2, hard limits and those that throttle (memory.high). It returns 0 if
// there is none, or if nothing can be known of it, as on other systems than
// Linux. root is the file system, os.DirFS("/").
func MemoryLimit(root fs.FS) int64 {
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return 0
	}
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(0)
	for _, m := range hierarchies(mounts) {
		for dir := m.place(groups); ; dir = path.Dir(dir) {
			for _, name := range m.files {
				if n := limitIn(root, path.Join(m.point, dir, name)); n > 0 && (least == 0 || n < least) {
					least = n
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}

// limitIn returns the limit that a file holds, 0 if none.
func limitIn(root fs.FS, name string) int64 {
	data, err := fs.ReadFile(root, strings.TrimPrefix(name, "/"))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil || n >= unlimited {
		return 0 // "max", in version 2
	}
	return n
}

// hierarchy is a mounted tree of control groups that can limit memory.
type hierarchy struct {
	root, point string // which part of the tree is mounted, and where
	controller  string // as in /proc/self/cgroup: "memory", or "" in version 2
	files       []string
}

// hierarchies reads /proc/self/mountinfo, see proc_pid_mountinfo(5).
func hierarchies(mountinfo []byte) []hierarchy {
	var found []hierarchy
	for s := bufio.NewScanner(bytes.NewReader(mountinfo)); s.Scan(); {
		before, after, ok := strings.Cut(s.Text(), " - ")
		f, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(super) < 3 {
			continue
		}
		h := hierarchy{root: unescape(f[3]), point: unescape(f[4])}
		switch {
		case super[0] == "cgroup2":
			h.files = []string{"memory.max", "memory.high"}
		case super[0] == "cgroup" && slices.Contains(strings.Split(super[2], ","), "memory"):
			h.controller, h.files = "memory", []string{"memory.limit_in_bytes"}
		default:
			continue
		}
		found = append(found, h)
	}
	return found
}

// unescape takes mountinfo's octal escapes out, of which a space is the one
// that occurs.
func unescape(s string) string { return strings.ReplaceAll(s, `\040`, " ") }

// place returns where in the mounted part the group is that groups, which is
// /proc/self/cgroup, names: "/" if it is not below it, as in a container that
// sees the names of its host.
func (h hierarchy) place(groups []byte) string {
	for s := bufio.NewScanner(bytes.NewReader(groups)); s.Scan(); {
		f := strings.SplitN(s.Text(), ":", 3)
		if len(f) != 3 || !slices.Contains(strings.Split(f[1], ","), h.controller) {
			continue
		}
		if h.controller == "" && f[0] != "0" {
			continue
		}
		dir := path.Clean("/" + f[2])
		if h.root == "/" {
			return dir
		}
		if rest, ok := strings.CutPrefix(dir, h.root); ok && (rest == "" || rest[0] == '/') {
			return path.Clean("/" + rest)
		}
	}
	return "/"
}
