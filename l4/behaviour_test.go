package l4_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"

	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/listen"
)

// TestNothingSaid opens connections that end without a byte, by either side
// and both ways.
func TestNothingSaid(t *testing.T) { eachDriver(t, testNothingSaid) }

func testNothingSaid(t *testing.T) {
	f := newFixture(t, nil, serveTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }))
	for range 20 {
		c := f.dial()
		c.Close()
	}
	for range 20 {
		c := f.dial()
		_ = c.CloseWrite()
		if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
			t.Fatalf("unexpected end: %q, %v", b, err)
		}
	}
	f.shutdown()
	f.wantEnds(map[l4.Reason]int{l4.ClientEOF: 40})

	g := newFixture(t, nil, serveTCP(t, func(*net.TCPConn) {}))
	for range 20 {
		c := g.dial()
		if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
			t.Fatalf("unexpected end: %q, %v", b, err)
		}
		c.Close()
	}
	g.shutdown()
	g.wantEnds(map[l4.Reason]int{l4.BackendEOF: 20})
}

// TestBackPressure has clients that do not read, while backends send without
// end: a bounded number of bytes leaves the backends, others are served
// meanwhile, and what was sent arrives once it is read.
func TestBackPressure(t *testing.T) { eachDriver(t, testBackPressure) }

func testBackPressure(t *testing.T) {
	const size, stalled = 256 << 20, 4
	var sent atomic.Int64
	content := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(content)
	f := newFixture(t, nil, serveTCP(t, func(c *net.TCPConn) {
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		if b[0] == 'e' {
			_, _ = io.Copy(c, c)
			return
		}
		for n := 0; n < size; n += len(content) {
			m, err := c.Write(content)
			sent.Add(int64(m))
			if err != nil {
				return
			}
		}
	}))
	var readers []*net.TCPConn
	for range stalled {
		c := f.dial()
		_ = c.SetReadBuffer(64 << 10)
		_, _ = c.Write([]byte("s"))
		readers = append(readers, c)
	}
	// The backends stop when every buffer on the way is full.
	last := int64(-1)
	for sent.Load() != last || last <= 0 {
		last = sent.Load()
		time.Sleep(300 * time.Millisecond)
	}
	if last > stalled*32<<20 {
		t.Fatalf("unexpected bytes taken from backends while nobody reads: %d MB of %d connections", last>>20, stalled)
	}
	for range 50 {
		c := f.dial()
		_, _ = c.Write([]byte("e"))
		if err := exchange(c, 10_000, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range readers[:2] {
		h, want := sha256.New(), sha256.New()
		if n, err := io.Copy(h, c); n != size || err != nil {
			t.Fatalf("unexpected delivery of %d bytes, error %v", n, err)
		}
		for range size / len(content) {
			want.Write(content)
		}
		if !bytes.Equal(h.Sum(nil), want.Sum(nil)) {
			t.Fatal("unexpected bytes")
		}
	}
	for _, c := range readers {
		c.Close()
	}
	f.shutdown()
}

// TestSoak relays between clients and backends that reset, stall, half-close
// and vanish at random: no byte is wrong, and nothing is left over. It takes a
// second, or what SLUICE_SOAK says.
func TestSoak(t *testing.T) { eachDriver(t, testSoak) }

func testSoak(t *testing.T) {
	duration := time.Second
	if s := os.Getenv("SLUICE_SOAK"); s != "" {
		var err error
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	// A backend sends back what it gets, and at random breaks off in one of
	// several ways.
	backendOf := func(i uint64) string {
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, i))
		return serveTCP(t, func(c *net.TCPConn) {
			mu.Lock()
			fate, after, pause := random.IntN(10), random.Int64N(300_000), time.Duration(random.IntN(30))*time.Millisecond
			mu.Unlock()
			switch fate {
			case 0: // resets
				_, _ = io.CopyN(c, c, after)
				_ = c.SetLinger(0)
			case 1: // stalls, then leaves
				_, _ = io.CopyN(c, c, after)
				time.Sleep(pause)
			case 2: // leaves at once
			case 3: // ends its direction early, and reads on
				_, _ = io.CopyN(c, c, after)
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			default:
				_, _ = io.Copy(c, c)
			}
		})
	}
	f := start(t, listen.Config{}, l4.Config{
		Routes: []l4.Route{{Service: l4.Service{Balancer: balancerOf(t, "db", backendOf(1), backendOf(2), backendOf(3), serveNothing(t))}}},
		// What stalls for good ends so.
		IdleTimeout: 2 * time.Second, FINTimeout: time.Second,
	})
	var wg sync.WaitGroup
	var whole, broken atomic.Int64
	end := time.Now().Add(duration)
	for i := range uint64(32) {
		random := rand.New(rand.NewPCG(seed, 100+i))
		wg.Go(func() {
			for time.Now().Before(end) {
				ok, err := soakOnce(f.addr, random)
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					whole.Add(1)
				} else {
					broken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	waitFor(t, func() bool { return f.ln.Open() == 0 })
	t.Logf("%d connections to their end, %d broken off", whole.Load(), broken.Load())
	if whole.Load() == 0 || broken.Load() == 0 {
		t.Fatal("unexpected: all alike")
	}
	for _, b := range f.pool.Snapshot().All {
		waitFor(t, func() bool { return b.Active() == 0 })
	}
	f.shutdown()
}

// soakOnce makes one connection, which may break off. What comes back must be
// the beginning of what was sent; all of it, if ok.
func soakOnce(addr string, random *rand.Rand) (ok bool, err error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return false, nil
	}
	c := nc.(*net.TCPConn)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make([]byte, random.IntN(400_000))
	var key [32]byte
	key[0], key[1] = byte(random.Uint32()), byte(random.Uint32())
	_, _ = rand.NewChaCha8(key).Read(sent)
	fate := random.IntN(8)
	cut := random.IntN(len(sent) + 1)
	go func() {
		switch fate {
		case 0:
			_, _ = c.Write(sent[:cut])
			_ = c.SetLinger(0)
			c.Close()
		case 1:
			_, _ = c.Write(sent[:cut])
			c.Close()
		default:
			_, _ = c.Write(sent)
			_ = c.CloseWrite()
		}
	}()
	got, readErr := io.ReadAll(c)
	if errors.Is(readErr, os.ErrDeadlineExceeded) {
		return false, errors.New("a connection hangs")
	}
	if !bytes.HasPrefix(sent, got) {
		return false, errors.New("wrong bytes: got " + strconv.Itoa(len(got)) + " of " + strconv.Itoa(len(sent)))
	}
	return readErr == nil && len(got) == len(sent), nil
}
