package engine

import (
	"runtime"
	"testing"
	"time"

	"sluice/pkg/config"
)

// TestSurroundings has those that kill who does not stop in time.
func TestSurroundings(t *testing.T) {
	t.Parallel()
	f := func(ecs string, env map[string]string, name string, stop time.Duration) {
		t.Helper()
		gotName, gotStop := surroundings(ecs, func(key string) string { return env[key] })
		if gotName != name || gotStop != stop {
			t.Errorf("unexpected surroundings; got %q, %v; want %q, %v", gotName, gotStop, name, stop)
		}
	}
	f("", nil, "", 0)
	f("http://169.254.170.2/v4/x", nil, "ECS", 30*time.Second)
	f("", map[string]string{"INVOCATION_ID": "x"}, "systemd", 90*time.Second)
	f("", map[string]string{"INVOCATION_ID": "x", "NOTIFY_SOCKET": "/run/systemd/notify"}, "", 0) // it is told how long
}

// TestTaskSize reckons with the CPUs there are, however many goroutines may run
// beside the loops.
func TestTaskSize(t *testing.T) {
	t.Parallel()
	vcpus, _, from := taskSize("")
	if vcpus <= 0 || vcpus > float64(runtime.NumCPU()) || from == "" {
		t.Fatalf("unexpected size: %v vCPUs of %d, from %q", vcpus, runtime.NumCPU(), from)
	}
	e := &Engine{config: &config.Config{Prices: config.Prices{VCPUs: 0.5, MemoryGB: 1}}}
	if p := e.prices(); p.TaskVCPUs != 0.5 || p.TaskGB != 1 || p.Size != "--prices" {
		t.Fatalf("unexpected prices: %+v", p)
	}
}
