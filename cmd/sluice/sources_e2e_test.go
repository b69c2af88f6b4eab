package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// TestSources has members from flags and from a file that is replaced under
// load.
func TestSources(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 3)
	path := filepath.Join(t.TempDir(), "echo.yaml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("- " + addrs[1])
	s := startSluice(t, "--backend=echo="+addrs[0], "--service=echo,file="+path, "--health-interval=100ms")
	admin := s.addr("admin")
	up(t, admin, 2)
	l := startLoad(100, s.addr("l4"), s.addr("l7"))
	used := func(i int) func() bool {
		before := backends(t, admin)[addrs[i]].Connections
		return func() bool { return backends(t, admin)[addrs[i]].Connections > before+10 }
	}
	eventually(t, "the one in the file is used", used(1))
	eventually(t, "and the one of the flags", used(0))
	write("- {addr: '" + addrs[2] + "', weight: 3}")
	eventually(t, "the new one is used", used(2))
	if _, there := backends(t, admin)[addrs[1]]; there {
		t.Error("the old one is still there")
	}
	write("- {addr: '" + addrs[2] + "', wieght: 3}")
	eventually(t, "a broken file is told", func() bool {
		status, body := get("http://" + admin + "/readyz")
		return status == http.StatusOK && strings.Contains(body, `unknown key \"wieght\"`)
	})
	if b := backends(t, admin)[addrs[2]]; !b.Eligible || b.ID != "file/"+addrs[2] {
		t.Errorf("unexpected backend with a broken file: %+v", b)
	}
	l.wantClean(t, 50)
}

// TestDNS follows a name whose address changes, and survives its server.
func TestDNS(t *testing.T) {
	t.Parallel()
	echo := start(t, "echo", nil, "--listen=0.0.0.0:0", "--name=echo")
	_, port, _ := net.SplitHostPort(echo.addr(""))
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var address atomic.Value // what echo.test is, or empty for SERVFAIL
	address.Store("127.0.0.2")
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		switch addr := address.Load().(string); {
		case addr == "":
			a.Rcode = dns.RcodeServerFailure
		case q.Question[0].Qtype == dns.TypeA && q.Question[0].Name == "echo.test.":
			rr, err := dns.NewRR("echo.test. 0 IN A " + addr)
			if err != nil {
				panic(err)
			}
			a.Answer = append(a.Answer, rr)
		}
		_ = w.WriteMsg(a)
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.ActivateAndServe() }()
	t.Cleanup(func() { conn.Close(); <-ended })

	s := startSluice(t, "--service=echo,dns=echo.test:"+port, "--dns-server="+conn.LocalAddr().String(), "--dns-min-ttl=50ms")
	admin := s.addr("admin")
	l := startLoad(50, s.addr("l4"), s.addr("l7"))
	member := func(addr string) func() bool {
		return func() bool {
			all := backends(t, admin)
			return len(all) == 1 && all[net.JoinHostPort(addr, port)].Connections > 0
		}
	}
	eventually(t, "its address is used", member("127.0.0.2"))
	address.Store("127.0.0.3")
	eventually(t, "its new address is used", member("127.0.0.3"))
	address.Store("")
	eventually(t, "trouble is told", func() bool {
		status, body := get("http://" + admin + "/readyz")
		return status == http.StatusOK && strings.Contains(body, "SERVFAIL") && strings.Contains(body, "1 members kept")
	})
	served := l.count("get")
	eventually(t, "traffic goes on", func() bool { return l.count("get") > served+50 })
	l.wantClean(t, 50)
}
