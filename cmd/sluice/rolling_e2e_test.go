package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRollingUpdate replaces all three backends by the script of the manual,
// while requests come: none fails.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	echos, addrs := startEchos(t, 3)
	s := startSluice(t, backendArgs(addrs)...)
	l7, admin := s.addr("l7"), s.addr("admin")
	eventually(t, "all are up", func() bool {
		for _, b := range backends(t, admin) {
			if b.State != "up" {
				return false
			}
		}
		return true
	})
	var stop atomic.Bool
	var served, failed atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c := http.Client{Timeout: 20 * time.Second}
			for !stop.Load() {
				resp, err := c.Get("http://" + l7 + "/")
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if served.Add(1); err != nil || resp.StatusCode != http.StatusOK {
					failed.Add(1)
					t.Errorf("a request failed: %v", err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	// The command asks for a restart by a file, and waits until it is gone.
	dir := t.TempDir()
	script := exec.Command("sh", "../../docs/rolling-update.sh", "echo", "touch "+dir+"/$1; while [ -e "+dir+"/$1 ]; do sleep 0.05; done")
	script.Env = append(os.Environ(), "SLUICE="+built.path("sluice"), "SLUICE_CTL_ADDR="+admin)
	ended := make(chan error, 1)
	var out []byte
	go func() {
		var err error
		out, err = script.CombinedOutput()
		ended <- err
	}()
	updated := make(map[string]bool)
	var err error
	for running := true; running; {
		select {
		case err = <-ended:
			running = false
		case <-time.After(10 * time.Millisecond):
		}
		asked, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, file := range asked {
			addr := filepath.Base(file)
			i := slices.Index(addrs, addr)
			_ = echos[i].cmd.Process.Kill()
			<-echos[i].done
			start(t, "echo", nil, "--listen", addr, "--name", "new").addr("")
			updated[addr] = true
			os.Remove(file)
		}
	}
	stop.Store(true)
	wg.Wait()
	if err != nil {
		t.Fatalf("the script failed: %v\n%s", err, out)
	}
	if len(updated) != 3 || served.Load() == 0 || failed.Load() > 0 {
		t.Fatalf("%d backends were updated, %d of %d requests failed\n%s", len(updated), failed.Load(), served.Load(), out)
	}
	if _, body := post(t, "GET", admin, "/admin/changes"); strings.Contains(body, "drain") {
		t.Fatalf("something is drained still: %s", body)
	}
}
