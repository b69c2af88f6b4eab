package cgroup

import (
	"io/fs"
	"math"
	"path"
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
	least := int64(0)
	around(root, "memory", func(dir string, version int) {
		files := []string{"memory.max", "memory.high"}
		if version == 1 {
			files = []string{"memory.limit_in_bytes"}
		}
		for _, name := range files {
			if n := limitIn(root, path.Join(dir, name)); n > 0 && (least == 0 || n < least) {
				least = n
			}
		}
	})
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
