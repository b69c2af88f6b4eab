package engine

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"time"

	"sluice/pkg/admin"
	"sluice/pkg/cgroup"
	"sluice/pkg/control"
	"sluice/pkg/zone"
)

// sizeTimeout bounds how long ECS is asked how large the task is.
const sizeTimeout = 2 * time.Second

// task returns what the fleet is told of this sluice.
func (e *Engine) task() control.Task {
	ready := e.readiness()
	overlay, _, err := e.operators.state()
	host, _ := os.Hostname() // without one it has none
	t := control.Task{
		ID: host + "-" + e.services.instance, Host: host, Zone: e.services.ownZone(), Version: e.version, Started: e.began.UTC(),
		Ready: ready.Ready, Reasons: ready.Reasons, Applied: overlay.Version,
	}
	for _, s := range e.plane.servers {
		if s.name == "admin" {
			t.Address = s.server.Addr().String()
		}
	}
	if err != nil {
		t.Trouble = err.Error()
		t.Applied = 0
	}
	for _, c := range overlay.Changes() {
		if c.Local != "" {
			t.Local++
		}
	}
	f := &t.Figures
	f.OpenConnections = int64(e.fronts.open())
	for _, s := range e.services.wanted() {
		snap := s.pool.Snapshot()
		f.Backends += len(snap.All)
		f.BackendsUsable += len(snap.Eligible)
		for _, b := range snap.All {
			f.Connections += b.Counters.Connections.Load()
			f.Failed += b.Counters.ConnectFailures.Load()
		}
	}
	f.Requests, f.RequestsPerSecond = e.recorder.requests.Load(), e.recorder.rate()
	f.MemoryBytes, f.CPUSeconds = usage()
	return t
}

// tellFleet has the fleet told at once of what this sluice is now.
func (e *Engine) tellFleet() {
	select {
	case e.told <- struct{}{}:
	default: // it will be
	}
}

// usage returns the memory that Go holds, in bytes, and the CPU time that Go
// code has taken.
func usage() (memory uint64, cpu float64) {
	all := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/cpu/classes/user:cpu-seconds"}}
	metrics.Read(all)
	if all[0].Value.Kind() == metrics.KindUint64 && all[1].Value.Kind() == metrics.KindUint64 {
		memory = all[0].Value.Uint64() - all[1].Value.Uint64()
	}
	if all[2].Value.Kind() == metrics.KindFloat64 {
		cpu = all[2].Value.Float64()
	}
	return memory, cpu
}

// tasks lists the sluices of the fleet; without one, this sluice alone.
func (e *Engine) tasks(ctx context.Context) (name string, tasks []control.Task, err error) {
	if e.fleet == nil {
		t := e.task()
		t.Self = true
		return "", []control.Task{t}, nil
	}
	tasks, err = e.fleet.Tasks(ctx)
	self := e.task().ID
	known := false
	for i := range tasks {
		tasks[i].Self = tasks[i].ID == self
		known = known || tasks[i].Self
	}
	if err != nil && !known { // Consul never knew
		t := e.task()
		t.Self = true
		tasks = append(tasks, t)
	}
	return e.config.Fleet, tasks, err
}

// prices returns what /admin/cost reckons with.
func (e *Engine) prices() admin.Prices {
	p := e.config.Prices
	out := admin.Prices{
		Currency: p.Currency, VCPUHour: p.VCPUHour, GBHour: p.GBHour, GBOut: p.GBOut, GBZone: p.GBZone, Date: p.Date,
		TaskVCPUs: p.VCPUs, TaskGB: p.MemoryGB, Size: "--prices",
	}
	if out.TaskVCPUs == 0 || out.TaskGB == 0 {
		vcpus, gigabytes, from := taskSize(e.ecs)
		out.Size = from
		if out.TaskVCPUs == 0 {
			out.TaskVCPUs = vcpus
		}
		if out.TaskGB == 0 {
			out.TaskGB = gigabytes
		}
	}
	return out
}

// taskSize returns how many vCPUs and GB of memory the task has, as ECS says, or
// what this process may use.
func taskSize(ecs string) (vcpus, gigabytes float64, from string) {
	if ecs != "" {
		ctx, cancel := context.WithTimeout(context.Background(), sizeTimeout)
		defer cancel()
		if v, g, err := zone.Size(ctx, ecs); err == nil && v > 0 {
			return v, g, "the task metadata of ECS"
		}
	}
	root := os.DirFS("/")
	vcpus, from = float64(runtime.NumCPU()), "the CPUs of this system" // that this process may run on
	if quota := cgroup.CPUQuota(root); quota > 0 && quota < vcpus {
		vcpus, from = quota, "the control group's share of the CPUs"
	}
	return vcpus, float64(cgroup.MemoryLimit(root)) / (1 << 30), from + ", and the control group's memory (0: no limit)"
}
