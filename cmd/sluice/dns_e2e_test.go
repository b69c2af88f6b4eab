package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/discovery/consul/consultest"
)

// instance is a backend at an address of its own that says which and ends.
type instance struct {
	addr string
	ln   net.Listener

	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]bool
}

func startInstance(t *testing.T, addr string) *instance {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{addr: ln.Addr().String(), ln: ln, conns: make(map[net.Conn]bool)}
	t.Cleanup(i.kill)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if !i.enter(c) {
				continue
			}
			go func() {
				_, _ = io.WriteString(c, i.addr)
				i.mu.Lock()
				defer i.mu.Unlock()
				if !i.dead {
					delete(i.conns, c)
					c.Close()
				}
			}()
		}
	}()
	return i
}

func (i *instance) enter(c net.Conn) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
		return false
	}
	i.conns[c] = true
	return true
}

// kill does what the kernel does when a process is killed.
func (i *instance) kill() {
	i.ln.Close()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dead = true
	for c := range i.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	clear(i.conns)
}

// askFrom connects to addr from a client's address and returns who answered.
func askFrom(client, addr string) (string, error) {
	d := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(c)
	if err == nil && len(b) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return string(b), err
}

// TestConsulDNSChurn has 100 instances behind Consul's DNS, which cuts its answers, by SRV
// and by address records, under 300 connections a second; some are killed and
// deregistered, and others come in their place, again and again for 5 s, or
// SLUICE_TEST_DNS. Nobody is lost who answers, no connection fails, and hashing
// moves only the clients of those that are gone, and those that the new ones
// take.
func TestConsulDNSChurn(t *testing.T) {
	t.Parallel()
	length := 5 * time.Second
	if d, err := time.ParseDuration(os.Getenv("SLUICE_TEST_DNS")); err == nil {
		length = d
	}
	const instances, clients, perRound = 100, 120, 5
	agent := consultest.Start(t)
	first := startInstance(t, "127.0.1.1:0")
	_, port, _ := net.SplitHostPort(first.addr)
	portNumber, _ := strconv.Atoi(port)
	n := 1
	next := func() *instance { // whose address nobody had before, for some thousand
		n++
		return startInstance(t, fmt.Sprintf("127.0.%d.%d:%s", 1+n/250, 1+n%250, port))
	}
	enrol := func(i *instance) {
		host, _, _ := net.SplitHostPort(i.addr)
		agent.Register(t, i.addr, "web", host, portNumber)
	}
	alive := []*instance{first}
	for len(alive) < instances {
		alive = append(alive, next())
	}
	for _, i := range alive {
		enrol(i)
	}
	admins, fronts := make(map[string]string), make(map[string]string)
	for name, records := range map[string]string{"srv": "_web._tcp.service.consul", "a": "web.service.consul:" + port} {
		s := start(t, "sluice", nil, "--l4=127.0.0.1:0=web", "--strategy=ip_hash", "--admin=127.0.0.1:0", "--drain-delay=0s",
			"--service=web,dns="+records, "--dns-server="+agent.DNS(), "--dns-min-ttl=500ms", "--health-timeout=10s")
		admins[name], fronts[name] = s.addr("admin"), s.addr("l4")
	}
	services := []string{"srv", "a"}
	// members returns the addresses of a service's members.
	members := func(service string) (addrs []string) {
		for addr := range backends(t, admins[service]) {
			addrs = append(addrs, addr)
		}
		slices.Sort(addrs)
		return addrs
	}
	addresses := func() (addrs []string) {
		for _, i := range alive {
			addrs = append(addrs, i.addr)
		}
		slices.Sort(addrs)
		return addrs
	}
	right := func() bool {
		for _, name := range services {
			if !slices.Equal(members(name), addresses()) {
				return false
			}
		}
		return true
	}
	eventually(t, "all are members", right)

	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		done   int
		failed []error
		killed time.Time
		stop   = make(chan struct{})
	)
	for k, name := range services {
		wg.Go(func() {
			tick := time.NewTicker(time.Second / 150)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				wg.Go(func() {
					begun := time.Now()
					_, err := askFrom(fmt.Sprintf("127.0.%d.%d", 100+k, 1+rand.IntN(250)), fronts[name])
					mu.Lock()
					defer mu.Unlock()
					done++
					// What a process had accepted when it was killed is lost.
					if err != nil && !(begun.Before(killed) && errors.Is(err, syscall.ECONNRESET)) {
						failed = append(failed, fmt.Errorf("%s at %s: %w", name, time.Now().Format("15:04:05.000"), err))
					}
				})
			}
		})
	}
	placed := func() map[string]string {
		at := make(map[string]string)
		for _, name := range services {
			for c := range clients {
				client := fmt.Sprintf("127.0.200.%d", 1+c)
				who, err := askFrom(client, fronts[name])
				if err != nil {
					t.Errorf("a client cannot connect: %v", err)
				}
				at[name+" "+client] = who
			}
		}
		return at
	}
	before, rounds, worst := placed(), 0, time.Duration(0)
	for began := time.Now(); rounds < 2 || time.Since(began) < length; rounds++ {
		var gone, come []string
		rand.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
		mu.Lock()
		killed = time.Now().Add(time.Hour)
		mu.Unlock()
		for _, i := range alive[:perRound] {
			i.kill()
			gone = append(gone, i.addr)
		}
		mu.Lock()
		killed = time.Now()
		mu.Unlock()
		staying := slices.Clone(alive[perRound:])
		for k := range perRound {
			agent.Deregister(t, gone[k])
			i := next()
			alive[k] = i
			enrol(i)
			come = append(come, i.addr)
		}
		took := eventually(t, "the members are right", func() bool {
			for _, name := range services {
				now := members(name)
				for _, i := range staying {
					if _, found := slices.BinarySearch(now, i.addr); !found {
						t.Fatalf("%s has lost %s, which answers", name, i.addr)
					}
				}
			}
			return right()
		})
		worst = max(worst, took)
		after := placed()
		moved := 0
		for client, was := range before {
			if is := after[client]; is != was {
				moved++
				if !slices.Contains(gone, was) && !slices.Contains(come, is) {
					t.Errorf("%s moved from %s, which is there, to %s, which was before", client, was, is)
				}
			}
		}
		if most := len(before) / 3; moved > most {
			t.Errorf("unexpected moves of %d clients of %d for %d members of %d", moved, len(before), perRound, instances)
		}
		before = after
	}
	close(stop)
	wg.Wait()
	t.Logf("%d rounds of %d that died and %d that came, members right after %v at most, %d connections", rounds, perRound, perRound, worst, done)
	if err := errors.Join(failed...); err != nil {
		t.Errorf("failed under load: %v", err)
	}
	if done < 100 {
		t.Errorf("unexpected connections: %d", done)
	}
}
