package listen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/limit"
)

func newListener(t *testing.T, maxConns int) (*Listener, *metrics.Set) {
	t.Helper()
	set := metrics.NewSet()
	l, err := Listen(Config{
		Kind: "l4", Name: "web", Address: "127.0.0.1:0", MaxConns: maxConns,
		Logger: slog.New(slog.DiscardHandler), Metrics: set,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, set
}

func dial(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantClosed fails unless c ends, however it does.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("unexpected result of a read from a connection that should be closed: %v", err)
	}
}

func TestCap(t *testing.T) {
	t.Parallel()
	l, set := newListener(t, 2)
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.AcceptConn()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial(t, l)
	dial(t, l)
	first := <-accepted
	<-accepted
	wantClosed(t, dial(t, l)) // over the cap
	if l.Open() != 2 {
		t.Fatalf("unexpected number of open connections; got %d; want 2", l.Open())
	}
	first.Close()
	first.Close() // counts once
	dial(t, l)
	<-accepted
	if l.Open() != 2 {
		t.Fatalf("unexpected number of open connections; got %d; want 2", l.Open())
	}
	var sb strings.Builder
	set.WritePrometheus(&sb)
	addr := `{listener="l4",name="web",addr="` + l.Addr().String() + `"`
	for _, want := range []string{
		"sluice_listener_accepted_total" + addr + "} 3",
		"sluice_listener_rejected_total" + addr + `,reason="max_conns"} 1`,
	} {
		if !strings.Contains(sb.String(), want) {
			t.Fatalf("unexpected metrics, no %s:\n%s", want, sb.String())
		}
	}
}

// TestClientLimits checks that a client's limits hold for it alone and end
// with its connections.
func TestClientLimits(t *testing.T) {
	t.Parallel()
	l, err := Listen(Config{
		Kind: "l4", Name: "web", Address: "127.0.0.1:0", MaxConnsPerClient: 2, MaxRatePerClient: 3,
		Logger: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	var places []Place
	f := func(client netip.Addr, want bool) {
		t.Helper()
		p, ok := l.admit(client)
		if ok != want {
			t.Fatalf("unexpected admission of %v; got %v; want %v", client, ok, want)
		}
		if ok {
			places = append(places, p)
		}
	}
	f(a, true)
	f(a, true)
	f(a, false) // two are open
	f(b, true)
	l.Leave(places[0])
	f(a, true)
	l.Leave(places[1])
	f(a, false) // three came in this second
	if l.Open() != 2 || l.rejected[ClientConns].Get() != 1 || l.rejected[ClientRate].Get() != 1 {
		t.Fatalf("unexpected: %d open", l.Open())
	}
}

// TestClientNotTracked has a connection end that came when too many clients
// were known to count it: it must not be taken for one that is counted.
func TestClientNotTracked(t *testing.T) {
	t.Parallel()
	l, _ := newListener(t, 0)
	l.clients = limit.NewClients(2, 0)
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	n := 0
	for now := time.Now(); l.clients.Enter(addr(n), now) != limit.ClientNotTracked; n++ {
	}
	admit := func(want bool) Place {
		t.Helper()
		p, ok := l.admit(addr(n))
		if ok != want {
			t.Fatalf("unexpected verdict: %v; want %v", ok, want)
		}
		return p
	}
	early := admit(true)
	for i := range n {
		l.clients.Leave(addr(i))
	}
	first, second := admit(true), admit(true)
	admit(false)
	l.Leave(early)
	admit(false)
	l.Leave(first)
	l.Leave(second)
}

func TestCloseEndsAccept(t *testing.T) {
	t.Parallel()
	l, _ := newListener(t, 0)
	done := make(chan error)
	go func() {
		_, err := l.AcceptConn()
		done <- err
	}()
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("unexpected error; got %v; want net.ErrClosed", err)
	}
	if err := l.Close(); err != nil {
		t.Fatalf("unexpected error of a second Close: %v", err)
	}
}

// TestDrainLosesNothing opens connections as fast as it can while the
// listener drains. Every connection that was established must be served:
// those that come too late must not be established at all, and none may be
// reset.
func TestDrainLosesNothing(t *testing.T) {
	t.Parallel()
	l, _ := newListener(t, 0)
	go func() {
		for {
			c, err := l.AcceptConn()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Write([]byte("x"))
				c.Close()
			}()
		}
	}()
	var mu sync.Mutex
	served, notEstablished := 0, 0
	stop := make(chan struct{})
	warm := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				d := net.Dialer{Timeout: 500 * time.Millisecond} // below the first retransmit of a SYN
				c, err := d.Dial("tcp", l.Addr().String())
				mu.Lock()
				if err != nil {
					notEstablished++
				}
				mu.Unlock()
				if err != nil {
					continue
				}
				got, err := io.ReadAll(c)
				c.Close()
				mu.Lock()
				if string(got) == "x" {
					served++
				} else {
					t.Errorf("an established connection was not served: read %q, %v", got, err)
				}
				if served == 1000 {
					warm <- struct{}{}
				}
				mu.Unlock()
			}
		})
	}
	<-warm
	l.Drain()
	if _, err := l.AcceptConn(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("unexpected error after Drain; got %v; want net.ErrClosed", err)
	}
	close(stop)
	wg.Wait()
	if served < 1000 {
		t.Fatalf("unexpected number of connections served; got %d; want at least 1000", served)
	}
	if err := l.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	l, _ := newListener(t, 0)
	client := dial(t, l)
	c, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("unexpected end of Wait with a connection open: %v", err)
	}
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- l.Wait(t.Context()) }()
	}
	l.Close()
	select {
	case err := <-done:
		t.Fatalf("unexpected end of Wait with a connection open: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	if n := l.CloseConns(); n != 1 {
		t.Fatalf("unexpected number of connections closed; got %d; want 1", n)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	wantClosed(t, client)
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("unexpected error of a Close after CloseConns: %v", err)
	}
}

// noFiles takes every file descriptor that the process has not opened until
// restore is called. Its test must not be parallel to others.
func noFiles(t *testing.T) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 1
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
}

// TestAcceptSurvivesExhaustion takes every file descriptor the process may
// have, lets Accept fail, gives them back, and expects Accept to go on. It
// lowers the limit of its own process, so it is not parallel to others.
func TestAcceptSurvivesExhaustion(t *testing.T) {
	l, set := newListener(t, 0)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.AcceptConn()
		if err == nil {
			accepted <- c
		}
	}()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	(<-accepted).Close()

	// A second client socket is made before the limit falls, and connected
	// after: connecting needs no descriptor, accepting does.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	restore := noFiles(t)
	defer restore()
	go func() {
		c, err := l.AcceptConn()
		if err == nil {
			accepted <- c
		}
	}()
	addr := l.Addr().(*net.TCPAddr)
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	failed := set.GetOrCreateCounter(`sluice_listener_accept_errors_total{listener="l4",name="web",addr="` + l.Addr().String() + `"}`)
	for deadline := time.Now().Add(10 * time.Second); failed.Get() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("Accept never failed though there is no descriptor left")
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-accepted:
		t.Fatal("unexpected connection accepted without a descriptor")
	default:
	}
	restore()
	select {
	case c := <-accepted:
		c.Close()
	case <-time.After(10 * time.Second):
		t.Fatal("Accept did not recover")
	}
}
