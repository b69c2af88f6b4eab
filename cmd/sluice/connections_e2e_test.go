package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// TestConnectionsShown finds the connections of each driver, with the service and
// the backend that they lead to, and closes them.
func TestConnectionsShown(t *testing.T) {
	t.Parallel()
	for _, drivers := range [][2]string{{"epoll", "loop"}, {"copy", "fasthttp"}} {
		t.Run(drivers[0]+" and "+drivers[1], func(t *testing.T) {
			t.Parallel()
			testConnectionsShown(t, drivers[0], drivers[1])
		})
	}
}

func testConnectionsShown(t *testing.T, l4, l7 string) {
	came, let := make(chan bool, 9), make(chan bool)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			came <- true
			<-let
		}
	}))
	defer backend.Close()
	defer close(let)
	addr := backend.Listener.Addr().String()
	s := start(t, "sluice", nil, "--l4-driver="+l4, "--l7-driver="+l7, "--l4=127.0.0.1:0=db", "--l7=127.0.0.1:0", "--route=/=web", "--backend=db="+addr, "--backend=web="+addr, "--admin=127.0.0.1:0")
	admin := s.addr("admin")
	one, two, waiting, resting, served := openTCP(t, s.addr("l4")), openTCP(t, s.addr("l4")), openTCP(t, s.addr("l7")), openTCP(t, s.addr("l7")), openTCP(t, s.addr("l7"))
	for _, c := range []net.Conn{one, two, served} {
		if !answersGet(c) {
			t.Fatal("a request was not answered")
		}
	}
	fmt.Fprintf(waiting, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-came
	type shown struct{ ID, Client, Kind, Service, Backend string }
	all := func(query string) (by map[string]shown) {
		_, body := get("http://" + admin + "/admin/connections" + query)
		var v struct{ Connections []shown }
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		by = make(map[string]shown)
		for _, c := range v.Connections {
			by[c.Client] = c
		}
		return by
	}
	for c, want := range map[net.Conn]shown{one: {Kind: "l4", Service: "db", Backend: addr}, waiting: {Kind: "l7", Service: "web", Backend: addr}, resting: {Kind: "l7"}, served: {Kind: "l7"}} {
		name := c.LocalAddr().String()
		eventually(t, fmt.Sprintf("%s is shown as %v", name, want), func() bool {
			got := all("")[name]
			return got.ID != "" && got.Kind == want.Kind && got.Service == want.Service && got.Backend == want.Backend
		})
	}
	if got := all("?service=web"); len(got) != 1 || got[waiting.LocalAddr().String()].ID == "" {
		t.Errorf("unexpected connections of a service: %v", got)
	}
	if got := all("?backend=" + addr); len(got) != 3 {
		t.Errorf("unexpected connections to a backend: %v", got)
	}
	for _, c := range []net.Conn{one, waiting, resting, served} {
		id := all("")[c.LocalAddr().String()].ID
		if code, out, err := ctlAt(admin, "end", id); code != exitOK {
			t.Fatalf("unexpected end of ctl end %s: %d %s%s", id, code, out, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := bufio.NewReader(c).ReadByte(); err == nil || os.IsTimeout(err) {
			t.Fatalf("%s was not closed: %v", id, err)
		}
		eventually(t, "it is not shown any more", func() bool { return all("")[c.LocalAddr().String()].ID == "" })
	}
	if !answersGet(two) {
		t.Fatal("another connection was closed, too")
	}
}
