package l4_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/listen"
)

// lookupOf finds addresses of hosts, all at the port of the name.
func lookupOf(hosts ...string) func(context.Context, string) ([]netip.AddrPort, error) {
	return func(_ context.Context, hostport string) (all []netip.AddrPort, err error) {
		_, port, err := net.SplitHostPort(hostport)
		for _, h := range hosts {
			all = append(all, netip.MustParseAddrPort(net.JoinHostPort(h, port)))
		}
		return all, err
	}
}

// TestNames connects to backends that are given by a name with several
// addresses: past those where nobody listens, as ::1 of localhost often is, and
// those that say nothing, with both drivers alike. What failed is named.
func TestNames(t *testing.T) { eachDriver(t, testNames) }

func testNames(t *testing.T) {
	hole := blackHole(t)
	_, holePort, _ := net.SplitHostPort(hole)
	onHolesPort, err := net.Listen("tcp", "127.0.0.5:"+holePort)
	if err != nil {
		t.Skip(err)
	}
	go func() {
		for {
			c, err := onHolesPort.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("a\n"))
			c.Close()
		}
	}()
	t.Cleanup(func() { onHolesPort.Close() })
	_, port, _ := net.SplitHostPort(serveGreeting(t, "a", 0))
	for _, x := range []struct {
		name  string
		port  string
		hosts []string
		tried []string // addresses that the log names; nil: it works
	}{
		{"stock Debian", port, []string{"::1", "127.0.0.1"}, nil},
		{"one address", port, []string{"127.0.0.1"}, nil},
		{"the last of several", port, []string{"127.0.0.7", "127.0.0.8", "127.0.0.1"}, nil},
		{"beside one that says nothing", holePort, []string{"127.0.0.1", "127.0.0.5"}, nil},
		{"nobody", port, []string{"::1", "127.0.0.7"}, []string{"[::1]:" + port, "127.0.0.7:" + port}},
		{"nobody at one address", port, []string{"127.0.0.7"}, []string{"127.0.0.7:" + port}},
		{"nobody in time", holePort, []string{"127.0.0.1"}, []string{"127.0.0.1:" + holePort}},
	} {
		var log bytes.Buffer
		svc := l4.Service{Balancer: balancerOf(t, "db", "db.example:"+x.port)}
		svc.Balancer.Pool().SetLookup(lookupOf(x.hosts...))
		f := start(t, listen.Config{}, l4.Config{
			Routes: []l4.Route{{Service: svc}}, ConnectTimeout: 3 * time.Second, ConnectDeadline: 3 * time.Second,
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if x.tried == nil {
			for range 2 { // by a lookup, and by what is known of it
				c := f.dial()
				if got := line(t, bufio.NewReader(c)); got != "a" {
					t.Fatalf("%s: unexpected greeting %q", x.name, got)
				}
				c.Close()
			}
			working := x.hosts[len(x.hosts)-1]
			if known, ok := f.pool.Snapshot().All[0].Known(); !ok || known[0].Addr().String() != working {
				t.Fatalf("%s: unexpected addresses %v, %v; want %s first", x.name, known, ok, working)
			}
			f.shutdown()
			continue
		}
		if c, err := net.Dial("tcp", f.addr); err == nil { // or it is reset before that has returned
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Fatalf("%s: no error", x.name)
			}
			c.Close()
		}
		f.shutdown()
		for _, addr := range x.tried {
			if !strings.Contains(log.String(), addr) {
				t.Fatalf("%s: the log does not name %s: %s", x.name, addr, log.String())
			}
		}
	}
}
