package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPanicFailsNobody has all but one of a service's backends refuse
// connections, and more clients than a retry budget allows for: none fails, as
// the one that is left can bear them, whatever the strategy.
func TestPanicFailsNobody(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	for _, strategy := range []string{"p2c", "ip_hash", "round_robin"} {
		for _, members := range []int{3, 10} {
			args := append(backendArgs(addrs), "--strategy="+strategy)
			for i := range members - 1 {
				args = append(args, fmt.Sprintf("--backend=echo=127.0.0.%d:1", i+2))
			}
			s := startSluice(t, args...)
			eventually(t, "all others are down", func() bool {
				down := 0
				for _, b := range backends(t, s.addr("admin")) {
					if b.State == "down" {
						down++
					}
				}
				return down == members-1
			})
			for _, listener := range []string{"l4", "l7"} {
				for i := range 250 {
					if err := getFrom(net.IPv4(127, 0, 1, byte(i)), "http://"+s.addr(listener)+"/"); err != nil {
						t.Fatalf("client %d of %s with %s and %d members failed: %v", i, listener, strategy, members, err)
					}
				}
			}
		}
	}
}

// TestPanicMistrustsChecks has checks be wrong: all answer 404, and everybody
// serves.
func TestPanicMistrustsChecks(t *testing.T) {
	t.Parallel()
	args := []string{"--service=echo,check=http:/wrong,strategy=round_robin"}
	for range 3 {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wrong" {
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		t.Cleanup(srv.Close)
		args = append(args, "--backend=echo="+srv.Listener.Addr().String())
	}
	s := startSluice(t, args...)
	eventually(t, "all are down", func() bool {
		_, body := get("http://" + s.addr("admin") + "/admin/backends")
		return strings.Count(body, `"state": "down"`) == 3
	})
	for i := range 100 {
		for _, listener := range []string{"l4", "l7"} {
			if err := getFrom(net.IPv4(127, 0, 1, byte(i)), "http://"+s.addr(listener)+"/"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// getFrom makes a GET over a connection of its own from ip.
func getFrom(ip net.IP, url string) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
		DisableKeepAlives: true,
	}}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return err
}
