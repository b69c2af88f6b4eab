package engine

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"time"
)

const (
	// spareProcessors is how many goroutines may run beside the loops: a loop
	// keeps its processor while it is busy, and checks and the control plane
	// must not wait for it.
	spareProcessors = 2
	// refitEvery is how often the CPUs that this process may use are looked at.
	refitEvery = 10 * time.Second
)

// processors keep GOMAXPROCS at what the cgroup and the affinity of this
// process allow, as Go itself does while nobody sets it, and some more. If the
// environment sets GOMAXPROCS, that is left alone.
type processors struct {
	loops  int
	fixed  bool
	logger *slog.Logger
}

// newProcessors sets GOMAXPROCS for that many loops.
func newProcessors(loops int, logger *slog.Logger) *processors {
	p := &processors{loops: loops, fixed: os.Getenv("GOMAXPROCS") != "", logger: logger}
	cpus := runtime.GOMAXPROCS(0)
	if !p.fixed {
		runtime.GOMAXPROCS(cpus + spareProcessors)
	}
	p.say("event loops", cpus)
	return p
}

func (p *processors) say(what string, cpus int) {
	p.logger.Info(what, "loops", p.loops, "cpus", cpus, "gomaxprocs", runtime.GOMAXPROCS(0), "from_environment", p.fixed)
}

// follow looks at the CPUs again and again until ctx ends.
func (p *processors) follow(ctx context.Context) {
	if p.fixed {
		return
	}
	ticker := time.NewTicker(refitEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		before := runtime.GOMAXPROCS(0)
		runtime.SetDefaultGOMAXPROCS() // the only way to ask
		cpus := runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(cpus + spareProcessors)
		if cpus+spareProcessors != before {
			p.say("the CPUs that may be used have changed", cpus)
		}
	}
}
