package engine

import (
	"context"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"time"

	"sluice/pkg/cgroup"
	"sluice/pkg/listen"
)

const (
	// memorySpare is the least that Go leaves of a control group's memory to
	// what is not its own: sockets, pipes, the program's pages.
	memorySpare = 12 << 20
	// memoryBase is what the process takes without a connection.
	memoryBase = 24 << 20
	// connMemory is what a connection that is busy takes, with its backend's and
	// with what the kernel keeps of both; measured as 6 to 8 KiB, but bodies and
	// slow readers take buffers.
	connMemory = 16 << 10
	// tlsMemory is the same of one with TLS, which has goroutines.
	tlsMemory = 64 << 10
	// remeasureEvery is how often the limit is looked at.
	remeasureEvery = 10 * time.Second
)

// memory keeps Go's memory limit (GOMEMLIMIT), and the memory that connections
// may take, at what the control group of this process allows, so that garbage
// is collected and connections are shed before the kernel kills the process. If
// the environment sets GOMEMLIMIT, that is left alone.
type memory struct {
	root   fs.FS
	conns  *listen.Budget
	fixed  bool
	group  int64 // the control group's limit in bytes, 0 for none
	logger *slog.Logger
}

// newMemory sets what is in force.
func newMemory(root fs.FS, conns *listen.Budget, logger *slog.Logger) *memory {
	m := &memory{root: root, conns: conns, fixed: os.Getenv("GOMEMLIMIT") != "", logger: logger}
	m.fit()
	return m
}

// fit sets what the control group now allows.
func (m *memory) fit() {
	group := cgroup.MemoryLimit(m.root)
	if group == m.group {
		return
	}
	m.group = group
	conns := connsMemory(group)
	m.conns.Resize(conns)
	if !m.fixed {
		debug.SetMemoryLimit(goMemory(group))
	}
	attrs := []any{"bytes", group, "gomemlimit", debug.SetMemoryLimit(-1), "from_environment", m.fixed}
	if group != 0 {
		attrs = append(attrs, "connections", conns/connMemory, "with_tls", conns/tlsMemory)
	}
	m.logger.Info("memory that the control group allows", attrs...)
}

// goMemory returns how much of the memory of a control group may be Go's: nine
// tenths, but what is not Go's needs some, and half is Go's in any case. Without
// a limit, 0, there is none for Go.
func goMemory(group int64) int64 {
	if group == 0 {
		return math.MaxInt64
	}
	return max(group-max(group/10, memorySpare), group/2)
}

// connsMemory returns how much of it connections may take.
func connsMemory(group int64) int {
	if group == 0 {
		return math.MaxInt
	}
	return int(max(group-memoryBase, fewest*tlsMemory))
}

// follow looks at the limit again and again until ctx ends.
func (m *memory) follow(ctx context.Context) {
	ticker := time.NewTicker(remeasureEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.fit()
		}
	}
}
