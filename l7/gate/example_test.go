package gate_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// A driver without sockets: the first backend refuses the connection, and the
// second one answers.
func Example() {
	pool := backend.NewPool("web")
	pool.Set([]backend.Target{{ID: "a", Address: "192.0.2.1:80", Weight: 1}, {ID: "b", Address: "192.0.2.2:80", Weight: 1}})
	balancer, err := balance.New(pool, "round_robin")
	if err != nil {
		panic(err)
	}
	var cfg gate.Config
	cfg.Routes = []gate.Route{{Path: "/", Balancer: balancer}}
	cfg.Logger, cfg.Metrics = slog.New(slog.DiscardHandler), metrics.NewSet()
	g, err := gate.New("example", &net.TCPAddr{Port: 8080}, cfg)
	if err != nil {
		panic(err)
	}
	defer g.Close()

	client := g.Client(gate.Arrival{Client: netip.MustParseAddrPort("203.0.113.7:4711")})
	begin := time.Now()
	now := func() gate.Now {
		at := time.Now()
		return gate.Now{Mono: int64(at.Sub(begin)) + 1, Time: at}
	}
	var t gate.Ticket
	t.Begin(g, &client, now(), time.Now())
	t.Raw = append(t.Raw, "GET /x HTTP/1.1\r\nHost: example.test\r\n\r\n"...)
	if fault, why := t.Req.Parse(t.Raw); fault != 0 {
		t.Malformed(fault, why)
	}
	if t.Judge(now()) != gate.Forward || t.Authorise() != gate.Forward || t.Admit(now()) != gate.Forward {
		fmt.Printf("%s", t.AppendAnswer(nil, now()))
	}
	for first := true; t.Pick(now()) == gate.Forward; first = false {
		fmt.Println("connecting to", t.Backend().Addr())
		if first {
			if t.ConnectFailed(now(), now().Mono, errors.New("connection refused")) == gate.Retry {
				continue
			}
			break
		}
		t.Connected(time.Millisecond)
		t.Sent(now())
		line, _, _ := strings.Cut(string(t.AppendRequest(nil, gate.Shared)), "\r\n")
		t.WroteHead()
		fmt.Println(line)
		t.Saw()
		if err := t.Resp.Parse([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")); err != nil {
			panic(err)
		}
		fmt.Printf("%q\n", t.AppendResponse(nil, t.Respond(now())))
		body := t.ResponseBody()
		data, _, _ := body.Decode([]byte("ok"))
		t.CountOut(len(data))
		break
	}
	t.End(now())
	// Output:
	// connecting to 192.0.2.1:80
	// connecting to 192.0.2.2:80
	// GET /x HTTP/1.1
	// "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
}
