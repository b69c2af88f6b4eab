package l4_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"sluice/l4"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/listen"
)

// TestALPN carries HTTP/2, as gRPC needs it, through a listener where TLS ends:
// to backends without TLS, and to those that want the same protocol agreed on.
func TestALPN(t *testing.T) { eachDriver(t, testALPN) }

func testALPN(t *testing.T) {
	ca := certificatetest.NewAuthority(t)
	serveHTTP := func(cfg *tls.Config) (addr string) {
		protocols := &http.Protocols{}
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
		s := &http.Server{Protocols: protocols, TLSConfig: cfg, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Proto)
		})}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if cfg == nil {
				_ = s.Serve(ln)
			} else {
				_ = s.ServeTLS(ln, "", "")
			}
		}()
		t.Cleanup(func() { s.Close() })
		return ln.Addr().String()
	}
	plain := l4.Service{Balancer: balancerOf(t, "plain", serveHTTP(nil))}
	secure := l4.Service{
		Balancer: balancerOf(t, "secure", serveHTTP(storeOf(t, ca, "127.0.0.1").Server())),
		TLS:      &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"},
	}
	for _, x := range []struct {
		name    string
		service l4.Service
		alpn    []string // nil: the default
		offers  []string
		want    string // the protocol that the backend sees; empty: no handshake
	}{
		{"gRPC's client", plain, nil, []string{"h2"}, "HTTP/2.0"},
		{"gRPC's client, TLS behind", secure, nil, []string{"h2"}, "HTTP/2.0"},
		{"who can do both", plain, nil, []string{"h2", "http/1.1"}, "HTTP/1.1"},
		{"who can do both, as set", plain, []string{"h2", "http/1.1"}, []string{"http/1.1", "h2"}, "HTTP/2.0"},
		{"who can do both, as set, TLS behind", secure, []string{"h2", "http/1.1"}, []string{"h2", "http/1.1"}, "HTTP/2.0"},
		{"who can do less", plain, []string{"h2", "http/1.1"}, []string{"http/1.1"}, "HTTP/1.1"},
		{"who says nothing", plain, []string{"h2", "http/1.1"}, nil, "HTTP/1.1"},
		{"who can do something else", plain, []string{"http/1.1"}, []string{"h2"}, ""},
	} {
		cfg := storeOf(t, ca, "a.example").Server()
		if x.alpn == nil {
			listen.NegotiateAny(cfg)
		} else {
			listen.Negotiate(cfg, x.alpn...)
		}
		f := start(t, listen.Config{TLS: cfg}, l4.Config{Routes: []l4.Route{{Service: x.service}}})
		nc := tls.Client(f.dial(), &tls.Config{RootCAs: ca.Pool(), ServerName: "a.example", NextProtos: x.offers})
		if err := nc.Handshake(); err != nil {
			if x.want != "" {
				t.Fatalf("%s: %v", x.name, err)
			}
			continue
		}
		protocols := &http.Protocols{}
		if nc.ConnectionState().NegotiatedProtocol == "h2" {
			protocols.SetUnencryptedHTTP2(true) // on a connection that has its TLS already
		} else {
			protocols.SetHTTP1(true)
		}
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return nc, nil },
		}}
		resp, err := client.Get("http://a.example/")
		if err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		got, err := io.ReadAll(resp.Body)
		if string(got) != x.want {
			t.Fatalf("%s: unexpected protocol %q, error %v; want %q", x.name, got, err, x.want)
		}
		resp.Body.Close()
		nc.Close()
	}
}
