package cgroup

import (
	"testing"
	"testing/fstest"
)

const (
	v1 = "35 23 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
	v2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		mounts, groups string
		files          map[string]string
		want           int64
	}{
		"no control groups":    {want: 0},
		"version 2":            {v2, "0::/a/b\n", map[string]string{"sys/fs/cgroup/a/b/memory.max": "67108864\n"}, 64 << 20},
		"version 2, none":      {v2, "0::/a\n", map[string]string{"sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		"of one around it":     {v2, "0::/a/b\n", map[string]string{"sys/fs/cgroup/a/memory.max": "1000000\n", "sys/fs/cgroup/a/b/memory.max": "2000000\n"}, 1000000},
		"one that throttles":   {v2, "0::/a\n", map[string]string{"sys/fs/cgroup/a/memory.max": "2000000\n", "sys/fs/cgroup/a/memory.high": "1500000\n"}, 1500000},
		"a name space":         {v2, "0::/\n", map[string]string{"sys/fs/cgroup/memory.max": "1000000\n"}, 1000000},
		"out of a name space":  {v2, "0::/../../a\n", map[string]string{"sys/fs/cgroup/memory.max": "1000000\n"}, 1000000},
		"version 1":            {v1, "5:devices:/\n4:memory:/x\n", map[string]string{"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "33554432\n"}, 32 << 20},
		"version 1, none":      {v1, "4:memory:/x\n", map[string]string{"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"names of the host":    {"35 23 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "4:memory:/docker/abc\n", map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000\n"}, 1000000},
		"below a mounted part": {"35 23 0:32 /docker /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "4:memory:/docker/abc\n", map[string]string{"sys/fs/cgroup/memory/abc/memory.limit_in_bytes": "1000000\n"}, 1000000},
		"two controllers":      {"35 23 0:32 / /cg rw - cgroup cgroup rw,cpu,memory\n", "4:cpu,memory:/x\n", map[string]string{"cg/x/memory.limit_in_bytes": "1000000\n"}, 1000000},
		"both versions":        {v1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "4:memory:/x\n0::/y\n", map[string]string{"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "2000000\n", "sys/fs/cgroup/unified/y/memory.max": "1000000\n"}, 1000000},
		"another file system":  {"35 23 0:32 / /sys/fs/cgroup/memory rw - tmpfs tmpfs rw,memory\n", "4:memory:/x\n", map[string]string{"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1000000\n"}, 0},
		"nonsense":             {v2, "0::/a\n", map[string]string{"sys/fs/cgroup/a/memory.max": "many\n"}, 0},
	} {
		root := fstest.MapFS{}
		if x.mounts != "" {
			root["proc/self/mountinfo"] = &fstest.MapFile{Data: []byte(x.mounts)}
			root["proc/self/cgroup"] = &fstest.MapFile{Data: []byte(x.groups)}
		}
		for path, data := range x.files {
			root[path] = &fstest.MapFile{Data: []byte(data)}
		}
		if got := MemoryLimit(root); got != x.want {
			t.Errorf("%s: unexpected limit; got %d; want %d", name, got, x.want)
		}
	}
}
