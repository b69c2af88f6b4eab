package h2

import (
	"context"
	"net/http"
	"strings"
	"testing"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// TestInterop has gRPC's interop cases pass between grpc-go's client and server,
// with and without TLS on either side.
func TestInterop(t *testing.T) {
	t.Parallel()
	dir := certificate(t)
	for name, x := range map[string]struct{ listener, protocol, client, server string }{
		"plain":       {"127.0.0.1:0,h2c=true", "h2c", "", ""},
		"TLS":         {"127.0.0.1:0,tls-cert=" + dir + "/cert.pem,tls-key=" + dir + "/key.pem", "grpc", dir, ""},
		"TLS to both": {"127.0.0.1:0,tls-cert=" + dir + "/cert.pem,tls-key=" + dir + "/key.pem", "grpcs", dir, dir},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := role(t, "grpc", addrKey+"=127.0.0.1:0", certKey+"="+x.server)
			service := "web,check=grpc,protocol=" + x.protocol
			if x.server != "" {
				service += ",tls-ca=" + dir + "/cert.pem"
			}
			s := start(t, "sluice", "--l7", x.listener, "--route", "/grpc.testing.TestService=web", "--route", "/grpc.testing.UnimplementedService/=web",
				"--backend", "web="+server.addr(""), "--service", service, "--admin", "127.0.0.1:0")
			addr := s.addr("l7")
			for name := range cases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					p := role(t, "case", addrKey+"="+addr, nameKey+"="+name, certKey+"="+x.client)
					<-p.done
					if !p.cmd.ProcessState.Success() {
						t.Errorf("the case fails: %s\n%s", p.log.String(), s.text())
					}
				})
			}
		})
	}
}

// TestMessages has messages of any size come through, both ways.
func TestMessages(t *testing.T) {
	t.Parallel()
	server := role(t, "grpc", addrKey+"=127.0.0.1:0")
	addr := sluice(t, []string{server.addr("")}, "--service", "web,check=grpc,protocol=h2c").addr("l7")
	cc, err := dialGRPC(addr, "")
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	tc := testgrpc.NewTestServiceClient(cc)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, size := range []int{0, 1, 16379, 16384, 65530, 65535, 1 << 20, 64<<20 - 100} {
		resp, err := tc.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: int32(size), Payload: &testgrpc.Payload{Body: []byte(strings.Repeat("x", size))}})
		if err != nil || len(resp.GetPayload().GetBody()) != size {
			t.Fatalf("a message of %d bytes did not come through: %d, %v", size, len(resp.GetPayload().GetBody()), err)
		}
	}
}

// TestBothLayers has a service that a TCP listener leads to as well be spoken to
// over HTTP as it says.
func TestBothLayers(t *testing.T) {
	t.Parallel()
	server := role(t, "grpc", addrKey+"=127.0.0.1:0")
	s := sluice(t, []string{server.addr("")}, "--service", "web,check=grpc,protocol=grpc", "--l4", "127.0.0.1:0=web")
	for _, layer := range []string{"l4", "l7"} {
		p := role(t, "case", addrKey+"="+s.addr(layer), nameKey+"=empty_unary")
		if <-p.done; !p.cmd.ProcessState.Success() {
			t.Errorf("a call by %s fails: %s", layer, p.text())
		}
	}
}

// TestRetryOn has no call fail of those that one of two backends declines, if the
// operator says that it may be made again.
func TestRetryOn(t *testing.T) {
	t.Parallel()
	bad := goBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "14")
	})
	good := server(t, "127.0.0.1:0", "good", 0).addr("")
	s := sluice(t, []string{bad, good}, "--service", "web,check=none,protocol=grpc,strategy=round_robin,retry-on=unavailable")
	cc, err := dialGRPC(s.addr("l7"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	for range 8 {
		if name, err := call(cc); err != nil || name != "good" {
			t.Errorf("unexpected answer: %q, %v", name, err)
		}
	}
}
