package main

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProcessors changes the CPUs that a running sluice may use: it follows,
// unless the environment says how many there are. Loops that carry traffic get
// processors to spare, loops that do not get none.
func TestProcessors(t *testing.T) {
	t.Parallel()
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		t.Skip("taskset is not there")
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() < 2 {
		t.Skip("there is one CPU")
	}
	var cpus []string
	for i := 0; len(cpus) < 2; i++ {
		if set.IsSet(i) {
			cpus = append(cpus, strconv.Itoa(i))
		}
	}
	run := func(environ string, args ...string) *process {
		args = append([]string{"-c", cpus[0], built.path("sluice"), "--backend=db=127.0.0.1:1", "--admin=127.0.0.1:0"}, args...)
		return startPath(t, taskset, []string{environ}, args...)
	}
	s, fixed := run("GOMAXPROCS=", "--l4=127.0.0.1:0=db"), run("GOMAXPROCS=2", "--l4=127.0.0.1:0=db")
	without := run("GOMAXPROCS=", "--l7=127.0.0.1:0", "--route=/=db", "--l7-driver=fasthttp")
	says := func(p *process, what string) func() bool {
		return func() bool { return strings.Contains(p.text(), what) }
	}
	eventually(t, "it is said what is in force", says(s, `"loops":1,"cpus":1,"gomaxprocs":3,"from_environment":false`))
	eventually(t, "the environment counts", says(fixed, `"loops":2,"cpus":2,"gomaxprocs":2,"from_environment":true`))
	without.addr("l7")
	for _, p := range []*process{s, without} {
		if out, err := exec.Command(taskset, "-a", "-p", "-c", strings.Join(cpus, ","), strconv.Itoa(p.cmd.Process.Pid)).CombinedOutput(); err != nil {
			t.Fatalf("cannot change the CPUs: %v: %s", err, out)
		}
	}
	eventually(t, "it follows", says(s, `"msg":"the CPUs that may be used have changed","cpus":2,"gomaxprocs":4`))
	eventually(t, "without loops that carry anything too", says(without, `"msg":"the CPUs that may be used have changed","cpus":2,"gomaxprocs":2`))
}
