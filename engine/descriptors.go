package engine

import (
	"fmt"
	"log/slog"
	"syscall"

	"sluice/pkg/config"
)

const (
	// comfortable is the open files limit below which a start warns.
	comfortable = 4096
	// filesPerLoop is for how many open files of the limit there is one loop at
	// most.
	filesPerLoop = 64
	// fewest is how many connections must be possible for a start.
	fewest = 8
)

// descriptors says what the open files limit is used for.
type descriptors struct {
	limit   int
	conns   int // for the connections of clients and what they take of backends
	pipes   int // for pipes that bytes go through in the kernel
	idle    int // for idle connections to backends beyond those of clients
	control int // connections of the control plane, of each of its listeners
	needed  int // what the process itself needs, and what checks and sources may
}

// divide divides the limit: first what the process needs itself, then parts for
// what serves connections without being theirs, in proportion to the limit and
// within bounds; all else is for connections.
func divide(limit, loops, listeners, planes, consul int) descriptors {
	part := func(least, most int) int { return min(max(limit/20, least), most) }
	d := descriptors{limit: limit, pipes: part(8, 1<<14), control: min(max(limit/25, 4), 256)}
	own := 10 + 2*loops + listeners + planes*(1+d.control) // standard streams, Go's poller, files that are read
	d.idle = part(8, 1<<14)
	if limit >= comfortable {
		// As few loops as can do the work have the clients, so that one of them may
		// need connections to all backends that there are.
		d.idle = min(loops*d.idle, limit/10)
	}
	d.needed = own + min(consul, part(8, 256)) + part(8, 512)
	d.conns = limit - d.needed - d.pipes - d.idle
	return d
}

// costs returns how many descriptors a connection of a TCP and of an HTTP
// listener takes: its own and its backend's. With the copy driver Go keeps
// two pipes for a connection, of which nobody can have the number bounded.
func costs(driver string) (l4, l7 int) {
	if driver == "copy" {
		return 6, 2
	}
	return 2, 2
}

// loopsFor returns how many loops there are for so many cores.
func loopsFor(cores, limit int) int { return max(1, min(cores, limit/filesPerLoop)) }

// descriptorsOf divides the limit for a configuration.
func descriptorsOf(c *config.Config, limit, loops int) (descriptors, error) {
	planes := 0
	for _, addr := range []string{c.Admin, c.HealthAddr} {
		if addr != "" && addr != config.Off {
			planes++
		}
	}
	consul := 0
	if c.Consul != "" {
		consul = len(c.ServiceNames()) + 4
		if c.ConsulTags != "" || consul > c.ConsulMaxConns {
			consul = c.ConsulMaxConns
		}
	}
	d := divide(limit, loops, len(c.L4)+len(c.L7), planes, consul)
	if d.conns < 2*fewest {
		return d, fmt.Errorf("cannot run with an open files limit of %d: %d are needed beside connections; raise it (ulimit -n, LimitNOFILE=, or nofile of the container)", limit, d.limit-d.conns)
	}
	return d, nil
}

// warn says what is surprising about the limit.
func (d descriptors) warn(c *config.Config, logger *slog.Logger) {
	l4, l7 := costs(c.L4Driver)
	if d.limit < comfortable {
		logger.Warn("the open files limit allows few connections; raise it (ulimit -n, LimitNOFILE=, or nofile of the container)",
			"open_files", d.limit, "connections", d.conns/min(l4, l7))
	}
	tell := func(flag, addr string, limits config.ConnLimits, cost int) {
		if most := d.conns / cost; limits.MaxConns > most {
			logger.Warn("max-conns= is more than the open files limit allows, which all listeners share; connections beyond that are closed",
				"setting", flag, "addr", addr, "max_conns", limits.MaxConns, "possible", most, "open_files", d.limit)
		}
	}
	for _, l := range c.L4 {
		tell("--l4", l.Addr, l.ConnLimits, l4)
	}
	for _, l := range c.L7 {
		tell("--l7", l.Addr, l.ConnLimits, l7)
	}
}

// OpenFiles returns how many files this process may have open.
func OpenFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<30))
}
