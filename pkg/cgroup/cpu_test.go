package cgroup

import (
	"testing"
	"testing/fstest"
)

func TestCPUQuota(t *testing.T) {
	t.Parallel()
	const cpu1 = "35 23 0:32 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	for name, x := range map[string]struct {
		mounts, groups string
		files          map[string]string
		want           float64
	}{
		"no control groups": {want: 0},
		"version 2":         {v2, "0::/a\n", map[string]string{"sys/fs/cgroup/a/cpu.max": "25000 100000\n"}, 0.25},
		"version 2, none":   {v2, "0::/a\n", map[string]string{"sys/fs/cgroup/a/cpu.max": "max 100000\n"}, 0},
		"of one around it":  {v2, "0::/a/b\n", map[string]string{"sys/fs/cgroup/a/cpu.max": "150000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n"}, 1.5},
		"version 1":         {cpu1, "4:cpu,cpuacct:/x\n", map[string]string{"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "200000\n", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 2},
		"version 1, none":   {cpu1, "4:cpu,cpuacct:/x\n", map[string]string{"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 0},
		"of memory alone":   {v1, "4:memory:/x\n", map[string]string{"sys/fs/cgroup/memory/x/cpu.cfs_quota_us": "200000\n", "sys/fs/cgroup/memory/x/cpu.cfs_period_us": "100000\n"}, 0},
		"nonsense":          {v2, "0::/a\n", map[string]string{"sys/fs/cgroup/a/cpu.max": "many\n"}, 0},
	} {
		root := fstest.MapFS{}
		if x.mounts != "" {
			root["proc/self/mountinfo"] = &fstest.MapFile{Data: []byte(x.mounts)}
			root["proc/self/cgroup"] = &fstest.MapFile{Data: []byte(x.groups)}
		}
		for path, data := range x.files {
			root[path] = &fstest.MapFile{Data: []byte(data)}
		}
		if got := CPUQuota(root); got != x.want {
			t.Errorf("%s: unexpected quota; got %v; want %v", name, got, x.want)
		}
	}
}
