package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// soakState is what must be after a soak as it was before.
type soakState struct {
	goroutines, files, series int
	heap                      float64
}

func (s soakState) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d series, %.1f MB of heap", s.goroutines, s.files, s.series, s.heap/(1<<20))
}

// calm waits until all are served who have reason to expect it.
func (x *soak) calm() {
	x.t.Helper()
	for _, k := range soakKinds {
		streak, last := 0, error(nil)
		for begin := time.Now(); k.exact && streak < 3; {
			if last = k.do(x.clients, x.chaos); last == nil {
				streak++
				continue
			}
			streak = 0
			if time.Since(begin) > time.Minute {
				x.t.Fatalf("clients of the kind %q are not served without faults: %v", k.name, last)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// sums returns the metrics, each summed over its labels, and how many series
// there are.
func (x *soak) sums() (sums map[string]float64, series int) {
	_, body := get("http://" + x.admin + "/metrics")
	sums = make(map[string]float64)
	for _, m := range regexp.MustCompile(`(?m)^(\w+)(?:\{.*\})? (\S+)$`).FindAllStringSubmatch(body, -1) {
		if v, err := strconv.ParseFloat(m[2], 64); err == nil {
			sums[m[1]] += v
			series++
		}
	}
	return sums, series
}

// settled waits until nothing is open or waits, and no more is held than
// before, if it is known how much that was.
func (x *soak) settled(before *soakState) (now soakState) {
	x.t.Helper()
	left := ""
	within := func(d time.Duration, ok func() bool) bool {
		for begin := time.Now(); time.Since(begin) < d; time.Sleep(50 * time.Millisecond) {
			if ok() {
				return true
			}
		}
		return false
	}
	if !within(time.Minute, func() bool {
		sums, _ := x.sums()
		left = ""
		for _, name := range []string{"sluice_l4_connections", "sluice_l7_requests", "sluice_l7_upgraded_connections", "sluice_service_queued", "sluice_backend_connections", "sluice_listener_connections", "sluice_loops_stuck"} {
			if v, there := sums[name]; !there || v != 0 {
				left += fmt.Sprintf(" %s=%v", name, v)
			}
		}
		return left == ""
	}) {
		x.goroutines()
		x.t.Fatalf("something is left when all is over:%s", left)
	}
	measure := func() soakState {
		_, heap := get("http://" + x.admin + "/debug/pprof/heap?gc=1&debug=1")
		bytes := -1.0
		if m := regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`).FindStringSubmatch(heap); m != nil {
			bytes, _ = strconv.ParseFloat(m[1], 64)
		}
		sums, series := x.sums()
		return soakState{goroutines: int(sums["go_goroutines"]), files: x.s.descriptors(), series: series, heap: bytes}
	}
	if before == nil {
		// Idle connections to backends and of the sources go within seconds.
		var last soakState
		same := 0
		within(time.Minute, func() bool {
			now = measure()
			if same++; now.goroutines > last.goroutines || now.files > last.files || last.goroutines-now.goroutines > 2 || last.files-now.files > 2 {
				last, same = now, 0
			}
			return same >= 12
		})
		return now
	}
	if !within(2*time.Minute, func() bool {
		now = measure()
		return now.goroutines <= before.goroutines+10 && now.files <= before.files+4 && now.series <= before.series+before.series/5+20 && now.heap <= before.heap*1.2+4<<20
	}) {
		x.goroutines()
		x.t.Errorf("more is held than before: %v; had %v", now, *before)
	}
	return now
}

// tell logs what was done. In a long soak all that there is must have been.
func (x *soak) tell(long bool) {
	named := make(map[string]bool)
	for _, f := range x.known {
		if named[f.name] {
			continue
		}
		named[f.name] = true
		x.t.Logf("fault: %s: %d", f.name, x.faults[f.name])
		if long && x.faults[f.name] == 0 {
			x.t.Errorf("there never was the fault %q", f.name)
		}
	}
	for _, k := range soakKinds {
		counts := x.clients.counts[k.name]
		x.t.Logf("clients: %s: %v", k.name, counts)
		if long && counts["done"] == 0 {
			x.t.Errorf("there was no client of the kind %q that got what it asked for", k.name)
		}
	}
}

// goroutines logs what goroutines there are.
func (x *soak) goroutines() {
	_, body := get("http://" + x.admin + "/debug/pprof/goroutine?debug=1")
	x.t.Logf("goroutines: %s", body)
}
