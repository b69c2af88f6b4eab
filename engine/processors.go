package engine

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// spareProcessors is how many goroutines may run beside the loops at least: a
	// loop keeps its processor while it is busy, and checks and the control plane
	// must not wait for it. Where handshakes of TLS are made beside loops, as many
	// may run as there are CPUs.
	spareProcessors = 2
	// refitEvery is how often the CPUs that this process may use are looked at.
	refitEvery = 10 * time.Second
)

// processors keep GOMAXPROCS at what the cgroup and the affinity of this
// process allow, as Go itself does while nobody sets it, and some more once
// loops carry traffic. If the environment sets GOMAXPROCS, that is left alone.
// All methods are safe for concurrent use.
type processors struct {
	fixed  bool
	logger *slog.Logger

	// mu protects the fields below.
	mu      sync.Mutex
	carry   bool // loops carry traffic
	secures bool // and handshakes are made beside them
	cpus    int  // what was found last
}

func newProcessors(logger *slog.Logger) *processors {
	return &processors{fixed: os.Getenv("GOMAXPROCS") != "", logger: logger, cpus: runtime.GOMAXPROCS(0)}
}

// makeSpare sees to it that some goroutines can run while all loops are busy.
// Where no loop carries traffic that would be for nothing, and cost a twentieth
// of the CPU: processors without work look for some.
func (p *processors) makeSpare(loops int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carry {
		return
	}
	p.carry = true
	p.set()
	p.logger.Info("event loops", "loops", loops, "cpus", p.cpus, "gomaxprocs", runtime.GOMAXPROCS(0), "from_environment", p.fixed)
}

// makeSpareForTLS sees to it that handshakes can use all CPUs while loops wait
// with their processors kept.
func (p *processors) makeSpareForTLS() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secures = true
	p.set()
}

// set sets GOMAXPROCS for the CPUs that were found last; p.mu is held.
func (p *processors) set() {
	n := p.cpus
	switch {
	case p.carry && p.secures:
		n += max(spareProcessors, p.cpus)
	case p.carry:
		n += spareProcessors
	}
	if !p.fixed && n != runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
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
			p.refit()
		}
	}
}

// refit sets GOMAXPROCS for the CPUs that may be used now.
func (p *processors) refit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	runtime.SetDefaultGOMAXPROCS() // the only way to ask
	before := p.cpus
	p.cpus = runtime.GOMAXPROCS(0)
	p.set()
	if p.cpus != before {
		p.logger.Info("the CPUs that may be used have changed", "cpus", p.cpus, "gomaxprocs", runtime.GOMAXPROCS(0))
	}
}
