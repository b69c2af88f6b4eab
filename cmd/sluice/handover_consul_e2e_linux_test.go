package main

import (
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"

	"sluice/discovery/consul/consultest"
)

// TestHandOverRegistered replaces the program of a sluice that is registered in
// Consul: at no moment is it missing there, or not passing, until it stops.
func TestHandOverRegistered(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	for _, check := range []string{"ttl", "http"} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "sluice")
			copyProgram(t, program)
			_, addrs := startEchos(t, 1)
			v := newSupervisor(t)
			name := "lb-" + check
			v.start(program, nil, nil, nil, "--l4=127.0.0.1:0=echo", "--backend=echo="+addrs[0], "--admin=off", "--health-addr=127.0.0.1:0", "--drain-delay=0s",
				"--consul="+agent.Addr(), "--register="+name+",check="+check)
			passing := func(index uint64) (n int, next uint64) {
				entries, meta, err := agent.API().Health().Service(name, "", true, &api.QueryOptions{WaitIndex: index, WaitTime: patience})
				if err != nil {
					t.Errorf("cannot ask Consul: %v", err)
					return 0, index
				}
				return len(entries), meta.LastIndex
			}
			eventually(t, "it is registered", func() bool { n, _ := passing(0); return n == 1 })
			eventually(t, "it is ready", func() bool { return v.heard("READY=1") == 1 })

			// Somebody follows the service as clients do, by blocking queries.
			var mu sync.Mutex
			var seen []int
			stop, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for index := uint64(0); ; {
					var n int
					n, index = passing(index)
					select {
					case <-stop:
						return
					default:
					}
					mu.Lock()
					seen = append(seen, n)
					mu.Unlock()
				}
			}()
			for round := range 3 {
				before := v.pid()
				if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
					t.Fatal(err)
				}
				v.hasReloaded(2 + round)
				http.DefaultClient.CloseIdleConnections()
				eventually(t, "the old process ends", func() bool { return !alive(before) })
				for range 50 {
					if n, _ := passing(0); n != 1 {
						t.Errorf("%d entries pass after round %d; want 1", n, round)
					}
				}
			}
			close(stop)
			last := v.pid()
			if err := syscall.Kill(last, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			<-ended
			eventually(t, "it is not registered any more", func() bool { n, _ := passing(0); return n == 0 })
			mu.Lock()
			defer mu.Unlock()
			for _, n := range seen {
				if n != 1 {
					t.Errorf("somebody saw %v entries that pass; want 1 at any time", seen)
					break
				}
			}
		})
	}
}
