package h2

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

const clients = 64

// callers are clients of gRPC with a connection each.
type callers []*grpc.ClientConn

func newCallers(t *testing.T, addr string) (all callers) {
	t.Helper()
	for range clients {
		cc, err := dialGRPC(addr, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cc.Close() })
		all = append(all, cc)
	}
	return all
}

// call makes a call and returns the server's name.
func call(cc *grpc.ClientConn) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var header metadata.MD
	if _, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{}, grpc.Header(&header)); err != nil {
		return "", err
	}
	if v := header.Get("x-server"); len(v) == 1 {
		return v[0], nil
	}
	return "", fmt.Errorf("the response does not say who gave it: %v", header)
}

// each has every client make n calls, and returns how many each server got.
func (all callers) each(t *testing.T, n int) map[string]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]int{}
	for _, cc := range all {
		wg.Go(func() {
			for range n {
				name, err := call(cc)
				if err != nil {
					t.Errorf("a call fails: %v", err)
					return
				}
				mu.Lock()
				got[name]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return got
}

// keepOn has clients call until stop is called, which returns how many calls
// there were and the first error.
func keepOn(n int, one func(i int) error) (stop func() (int64, error)) {
	var calls atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for i := range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := one(i); err != nil {
					failed.CompareAndSwap(nil, err)
				}
				calls.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return func() (int64, error) {
		cancel()
		wg.Wait()
		err, _ := failed.Load().(error)
		return calls.Load(), err
	}
}

// server starts a server of gRPC.
func server(t *testing.T, addr, name string, delay time.Duration) *process {
	return role(t, "grpc", addrKey+"="+addr, nameKey+"="+name, delayKey+"="+delay.String())
}

// own returns an address, of a loopback host of its own, that nobody else takes
// while a server is restarted: the system uses its ports for nobody's connections.
func own(i int) string {
	return fmt.Sprintf("127.%d.%d.%d:0", 1+os.Getpid()>>8%250, os.Getpid()%256, i+1)
}

// TestSpread has the calls of many connections be spread over three backends, of
// which one is slow, and a new one get its share.
func TestSpread(t *testing.T) {
	t.Parallel()
	var addrs []string
	for i, delay := range []time.Duration{0, 0, 150 * time.Millisecond} {
		addrs = append(addrs, server(t, "127.0.0.1:0", fmt.Sprint(i), delay).addr(""))
	}
	for _, strategy := range []string{"round_robin", "p2c"} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			s := sluice(t, addrs, "--service", "web,check=none,protocol=grpc,strategy="+strategy)
			all := newCallers(t, s.addr("l7"))
			const n = 15
			got := all.each(t, n)
			for i := range 3 {
				share := float64(got[fmt.Sprint(i)]) / (clients * n)
				switch {
				case strategy == "round_robin" && (share < 0.3 || share > 0.367),
					strategy == "p2c" && i < 2 && share < 1.1*float64(got["2"])/(clients*n):
					t.Errorf("unexpected share of backend %d: %.3f of %v", i, share, got)
				}
			}
		})
	}
}

// TestKilled has a backend be killed under load: no idempotent request fails, and
// when it is there again it serves.
func TestKilled(t *testing.T) {
	t.Parallel()
	web := func(addr, name string) *process {
		return role(t, "web", addrKey+"="+addr, nameKey+"="+name, delayKey+"=2ms")
	}
	var all []*process
	var addrs []string
	for i := range 3 {
		p := web(own(i), fmt.Sprint(i))
		all, addrs = append(all, p), append(addrs, p.addr(""))
	}
	addr := sluice(t, addrs, "--service", "web,protocol=h2c", "--health-interval", "200ms").addr("l7")
	var served [3]atomic.Int64
	one := func(c *http.Client) error {
		resp, err := c.Get("http://" + addr + "/")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			return fmt.Errorf("status %d: %v", resp.StatusCode, resp.Header)
		}
		served[resp.Header.Get("X-Server")[0]-'0'].Add(1)
		return nil
	}
	var sessions []*http.Client
	for range 16 {
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetUnencryptedHTTP2(true)
		t.Cleanup(tr.CloseIdleConnections)
		sessions = append(sessions, &http.Client{Transport: tr, Timeout: patience})
	}
	stop := keepOn(len(sessions), func(i int) error { return one(sessions[i]) })
	more := func(what string, i int) {
		before := served[i].Load()
		eventually(t, what, func() bool { return served[i].Load() > before+5 })
	}
	more("the one that is killed serves before", 0)
	all[0].kill()
	more("others serve", 1)
	all[0] = web(addrs[0], "0")
	all[0].addr("")
	more("it serves again", 0)
	if n, err := stop(); err != nil {
		t.Errorf("a request of %d failed: %v", n, err)
	}
}

// TestRolling has all backends be restarted under load, one after the other, each
// of which lets its calls finish: no call fails.
func TestRolling(t *testing.T) {
	t.Parallel()
	var all []*process
	var addrs []string
	for i := range 3 {
		p := server(t, own(i), fmt.Sprint(i), 3*time.Millisecond)
		all, addrs = append(all, p), append(addrs, p.addr(""))
	}
	s := sluice(t, addrs, "--service", "web,check=grpc,protocol=grpc", "--health-interval", "200ms")
	calling := newCallers(t, s.addr("l7"))[:24]
	var served [3]atomic.Int64
	stop := keepOn(len(calling), func(i int) error {
		name, err := call(calling[i])
		if err == nil {
			served[name[0]-'0'].Add(1)
		}
		return err
	})
	for i := range all {
		before := served[i].Load()
		eventually(t, "the backend serves before it leaves", func() bool { return served[i].Load() > before+5 })
		if err := all[i].cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-all[i].done
		all[i] = server(t, addrs[i], fmt.Sprint(i), 3*time.Millisecond)
		all[i].addr("")
		before = served[i].Load()
		eventually(t, "the backend serves again", func() bool { return served[i].Load() > before+5 })
	}
	if n, err := stop(); err != nil {
		t.Errorf("a call of %d failed: %v\n%s", n, err, s.text())
	}
}
