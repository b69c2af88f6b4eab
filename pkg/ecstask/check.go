package ecstask

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/pkg/config"
)

const (
	// defaultStop is what ECS grants from SIGTERM to SIGKILL, and mostStop what it
	// can on Fargate.
	defaultStop, mostStop = 30 * time.Second, 120 * time.Second
	// stopSpare is what the end of the process takes beside draining.
	stopSpare = 2 * time.Second
	// nlbIdle and albIdle are after how long without a byte an NLB forgets a
	// connection and an ALB closes its own to a target, unless told otherwise.
	nlbIdle, albIdle = 350 * time.Second, 60 * time.Second
	// comfortableFiles is how many open files allow enough connections.
	comfortableFiles = 8192
	// leastMemory is what sluice needs, in MiB.
	leastMemory = 64
)

// Finding is something about a configuration and a task definition that do not
// fit. Drops says that connections would be lost for it; else it is an advice.
type Finding struct {
	Drops bool
	Text  string
}

// String returns the finding as a line.
func (f Finding) String() string {
	if f.Drops {
		return "error: " + f.Text
	}
	return "warning: " + f.Text
}

// findings are collected by a check.
type findings []Finding

func (f *findings) drops(format string, args ...any) {
	*f = append(*f, Finding{true, fmt.Sprintf(format, args...)})
}

func (f *findings) advise(format string, args ...any) {
	*f = append(*f, Finding{false, fmt.Sprintf(format, args...)})
}

// Check holds c, which is valid, against t; without a task definition, nil,
// against what holds for any.
func Check(c *config.Config, t *Task) []Finding {
	var f findings
	stop := defaultStop
	if t != nil {
		container := t.Sluice()
		if container.StopTimeout != nil {
			stop = time.Duration(*container.StopTimeout) * time.Second
		}
		f.container(c, t, container)
	}
	f.times(c, stop)
	f.addresses(c, t)
	return f
}

// times holds the waits against those of ECS and its load balancers.
func (f *findings) times(c *config.Config, stop time.Duration) {
	if sum := c.DrainDelay + c.DrainTimeout + stopSpare; sum > stop {
		f.drops("--drain-delay %v and --drain-timeout %v, and %v to end, are more than the stopTimeout of %v: the task is killed with connections open", c.DrainDelay, c.DrainTimeout, stopSpare, stop)
	}
	if stop > mostStop {
		f.drops("stopTimeout is %v; Fargate grants %v at most", stop, mostStop)
	}
	if c.DrainDelay < time.Second {
		f.drops("--drain-delay is %v: a load balancer that is being told, and clients that go by DNS, still send connections when the listeners close", c.DrainDelay)
	}
	if len(c.L4) > 0 || c.ConsulTags != "" {
		if c.L4IdleTimeout == 0 || c.L4IdleTimeout > nlbIdle {
			f.advise("--l4-idle-timeout is %v: an NLB forgets a connection after %v without a byte unless its listener says otherwise (tcp.idle_timeout.seconds), and resets it with the next one", c.L4IdleTimeout, nlbIdle)
		}
	}
	if len(c.L7) > 0 && c.L7IdleTimeout <= albIdle {
		f.drops("--l7-idle-timeout is %v: an ALB keeps connections to its targets for %v (idle_timeout.timeout_seconds), and answers 502 when it sends a request on one that is just being closed; it must be more", c.L7IdleTimeout, albIdle)
	}
}

// addresses looks at whether others can reach what they must.
func (f *findings) addresses(c *config.Config, t *Task) {
	type listener struct{ flag, addr string }
	var all []listener
	for _, l := range c.L4 {
		all = append(all, listener{"l4", l.Addr})
	}
	for _, l := range c.L7 {
		all = append(all, listener{"l7", l.Addr})
	}
	if c.HealthAddr != "" {
		all = append(all, listener{"health-addr", c.HealthAddr})
	} else {
		f.advise("there is no --health-addr: a target group's checks can only connect to a listener, or ask a backend, and learn nothing of /readyz")
	}
	told := make(map[listener]bool)
	for _, l := range all {
		if told[l] {
			continue
		}
		told[l] = true
		host, port, err := net.SplitHostPort(l.addr)
		n, _ := strconv.Atoi(port)
		switch ip, ipErr := netip.ParseAddr(host); {
		case err != nil:
			f.drops("--%s %q: nobody passes sockets on ECS", l.flag, l.addr)
			continue
		case host == "localhost" || ipErr == nil && ip.IsLoopback():
			f.drops("--%s %q: nobody outside of the task can reach a loopback address", l.flag, l.addr)
		case n == 0:
			f.drops("--%s %q: a target group needs a port that stays the same", l.flag, l.addr)
			continue
		}
		if t != nil && !slices.Contains(t.Sluice().PortMappings, Port{n}) {
			f.drops("--%s %q: the container has no port mapping for %d, so that no load balancer can be given it", l.flag, l.addr, n)
		}
	}
}

// container looks at what the task definition says of the container.
func (f *findings) container(c *config.Config, t *Task, container *Container) {
	if container.Essential != nil && !*container.Essential {
		f.drops("the container %s is not essential: the task goes on, and keeps its place in the target groups, when it has ended", container.Name)
	}
	if container.usesShell() {
		f.drops("a shell runs the program (%s): SIGTERM does not reach it, and it is killed with connections open; give entryPoint and command as lists", strings.Join(slices.Concat(container.EntryPoint, container.Command), " "))
	}
	f.healthCheck(container)
	files := 0
	for _, u := range container.Ulimits {
		if u.Name == "nofile" {
			files = u.SoftLimit
		}
	}
	switch {
	case files == 0:
		f.advise("there is no ulimit nofile: on EC2 it may be 1024, which is some 400 connections; 65536 is usual")
	case files < comfortableFiles:
		f.advise("the ulimit nofile of %d allows some %d connections", files, files*2/5)
	}
	if memory, err := strconv.Atoi(t.Memory); err == nil && memory < leastMemory {
		f.advise("the memory of %d MiB is less than the %d MiB that serve 1,000 connections", memory, leastMemory)
	}
	if t.NetworkMode != "" && t.NetworkMode != "awsvpc" && slices.Contains(t.RequiresCompatibilities, "FARGATE") {
		f.drops("networkMode is %q; Fargate has awsvpc alone", t.NetworkMode)
	}
	if t.NetworkMode == "bridge" && len(c.Registers) > 0 && slices.ContainsFunc(c.Registers, func(r config.Register) bool { return r.Addr == "" }) {
		f.drops("--register without addr= in networkMode bridge: clients are told of an address that only containers of this host can reach")
	}
	for _, p := range container.Environment {
		if slices.Contains([]string{"SLUICE_ADMIN_TOKEN", "SLUICE_STICKY_SECRET", "CONSUL_HTTP_TOKEN"}, p.Name) {
			f.advise("%s is in environment, for all who may see the task definition; give it by secrets", p.Name)
		}
	}
	if !container.ReadonlyRootFilesystem {
		f.advise("readonlyRootFilesystem is not set; sluice writes no files that it is not told to")
	}
}

// healthCheck looks at the container's own check.
func (f *findings) healthCheck(container *Container) {
	if container.HealthCheck == nil {
		f.advise(`there is no healthCheck: a process that hangs is not replaced; ["CMD", "/sluice", "healthcheck"]`)
		return
	}
	command := strings.Join(container.HealthCheck.Command, " ")
	switch {
	case strings.Contains(command, "--ready") || strings.Contains(command, "readyz"):
		f.drops("the healthCheck asks whether sluice is ready (%s): while it drains it is not, and ECS kills it as unhealthy; ask whether it is alive, without --ready", command)
	case len(container.HealthCheck.Command) > 0 && container.HealthCheck.Command[0] == "CMD-SHELL":
		f.drops(`the healthCheck needs a shell (%s), which the image does not have: every task is replaced again and again; ["CMD", "/sluice", "healthcheck"]`, command)
	}
}
