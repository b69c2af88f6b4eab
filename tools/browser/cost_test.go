package browser

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCost measures what viewers cost a sluice of 1,000 backends and 200 routes
// under load, in turns: none, one, 20. It asserts nothing, for it is the machine's
// word, too; SLUICE_DASHBOARD_COST=10s says how long each turn takes.
func TestCost(t *testing.T) {
	turn, err := time.ParseDuration(os.Getenv("SLUICE_DASHBOARD_COST"))
	if err != nil {
		t.Skip("SLUICE_DASHBOARD_COST=10s measures")
	}
	everywhere := start(t, "echo", "--listen", "0.0.0.0:0").addr("")
	port := everywhere[strings.LastIndexByte(everywhere, ':')+1:]
	var members []string
	for i := range 1000 {
		members = append(members, fmt.Sprintf(`{"addr":"127.1.%d.%d:%s"}`, i/250, 1+i%250, port))
	}
	file := filepath.Join(t.TempDir(), "members.json")
	if err := os.WriteFile(file, []byte("["+strings.Join(members, ",")+"]"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--l7=127.0.0.1:0", "--route=/=web", "--admin=127.0.0.1:0", "--service=web,file=" + file + ",check=none", "--panic-threshold=0"}
	for i := range 200 {
		args = append(args, fmt.Sprintf("--route=/route-%d=web", i))
	}
	s := start(t, "sluice", args...)
	url := "http://" + s.addr("l7") + "/"
	results := make(map[int][2][]float64)
	for range 3 {
		for _, viewers := range []int{0, 1, 20} {
			ctx, cancel := context.WithCancel(t.Context())
			bytes := make(chan int, viewers)
			for range viewers {
				go func() { bytes <- watch(ctx, s) }()
			}
			time.Sleep(2 * time.Second) // so that all have begun
			before := cpuSeconds(t, s)
			latencies := steady(t, url, turn)
			cost := (cpuSeconds(t, s) - before) / turn.Seconds()
			cancel()
			all := 0
			for range viewers {
				all += <-bytes
			}
			slices.Sort(latencies)
			p99 := latencies[len(latencies)*99/100]
			r := results[viewers]
			r[0], r[1] = append(r[0], cost), append(r[1], p99.Seconds()*1000)
			results[viewers] = r
			t.Logf("%2d viewers: %.3f of a core, p99 %v of %d requests, %d kB to viewers", viewers, cost, p99.Round(10*time.Microsecond), len(latencies), all/1000)
		}
	}
	for _, viewers := range []int{0, 1, 20} {
		r := results[viewers]
		slices.Sort(r[0])
		slices.Sort(r[1])
		t.Logf("%2d viewers, medians: %.3f of a core, p99 %.2f ms", viewers, r[0][1], r[1][1])
	}
}

// watch asks for what an overview asks for until ctx ends: the stream, and now and
// then the history of each service and the advice. It returns how many bytes came.
func watch(ctx context.Context, s *process) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr("admin")+"/admin/live", nil)
	if err != nil {
		return 0
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	go func() {
		ticker := time.NewTicker(5 * time.Second)
		defer ticker.Stop()
		for n := 0; ; n++ {
			discard(s, "/admin/history?service=*&width=5&metrics=requests,connections,failed,server_errors,mean,p99")
			if n%2 == 0 {
				discard(s, "/admin/advice")
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	n, _ := io.Copy(io.Discard, resp.Body) // until it is cut
	return int(n)
}

// discard asks and reads the answer, without reading what is in it.
func discard(s *process, path string) {
	if resp, err := http.Get("http://" + s.addr("admin") + path); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // the cost is what counts
		resp.Body.Close()
	}
}

// steady sends 500 requests a second, one after the other, and returns how long
// each took.
func steady(t *testing.T, url string, long time.Duration) (all []time.Duration) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(long); time.Now().Before(end); <-ticker.C {
		begin := time.Now()
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // for the connection's sake
		resp.Body.Close()
		all = append(all, time.Since(begin))
	}
	return all
}

// cpuSeconds returns how much CPU a process has taken.
func cpuSeconds(t *testing.T, s *process) (sum float64) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		t.Skip("there is no /proc: ", err)
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	for _, x := range fields[11:13] { // utime and stime, see proc_pid_stat(5)
		var ticks float64
		fmt.Sscan(x, &ticks)
		sum += ticks / 100
	}
	return sum
}
