package cgroup

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// CPUQuota returns how many CPUs' time the control groups that this process is in,
// and those around them, allow: the least of them, such as 0.25. It returns 0 if
// there is none, or if nothing can be known of it. root is the file system,
// os.DirFS("/").
func CPUQuota(root fs.FS) float64 {
	least := 0.0
	around(root, "cpu", func(dir string, version int) {
		var quota, period float64
		if version == 1 {
			quota, period = number(root, path.Join(dir, "cpu.cfs_quota_us")), number(root, path.Join(dir, "cpu.cfs_period_us"))
		} else {
			data, err := fs.ReadFile(root, strings.TrimPrefix(path.Join(dir, "cpu.max"), "/"))
			if f := strings.Fields(string(data)); err == nil && len(f) == 2 { // "max 100000" where there is none
				quota, _ = strconv.ParseFloat(f[0], 64)
				period, _ = strconv.ParseFloat(f[1], 64)
			}
		}
		if quota > 0 && period > 0 && (least == 0 || quota/period < least) {
			least = quota / period
		}
	})
	return least
}

// number returns the number that a file holds, 0 if none.
func number(root fs.FS, name string) float64 {
	data, err := fs.ReadFile(root, strings.TrimPrefix(name, "/"))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
	if err != nil {
		return 0
	}
	return n
}
