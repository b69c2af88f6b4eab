package cgroup

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// around calls f with the directory of each control group that this process is in
// for a controller, and of those around it, and with its version.
func around(root fs.FS, controller string, f func(dir string, version int)) {
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return
	}
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return
	}
	for _, m := range hierarchies(mounts, controller) {
		version := 2
		if m.controller != "" {
			version = 1
		}
		for dir := m.place(groups); ; dir = path.Dir(dir) {
			f(path.Join(m.point, dir), version)
			if dir == "/" {
				break
			}
		}
	}
}

// hierarchy is a mounted tree of control groups.
type hierarchy struct {
	root, point string // which part of the tree is mounted, and where
	controller  string // as in /proc/self/cgroup; "" in version 2
}

// hierarchies reads /proc/self/mountinfo, see proc_pid_mountinfo(5), and returns
// those that have a controller.
func hierarchies(mountinfo []byte, controller string) []hierarchy {
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
		case super[0] == "cgroup" && slices.Contains(strings.Split(super[2], ","), controller):
			h.controller = controller
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
