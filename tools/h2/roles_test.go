package h2

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

// The test's own program plays other roles when these say so: a server of gRPC's
// interop service, a client that runs one of its cases, a web server.
const (
	roleKey  = "TEST_H2_ROLE"
	addrKey  = "TEST_H2_ADDR" // where a server listens, or a client calls
	nameKey  = "TEST_H2_NAME" // of a server, or of a client's case
	delayKey = "TEST_H2_DELAY"
	certKey  = "TEST_H2_CERT" // a directory with cert.pem and key.pem: TLS
)

// play plays a role, and returns how the program ends.
func play(role string) int {
	var err error
	switch role {
	case "grpc":
		err = playServer()
	case "web":
		err = playWeb()
	case "case":
		err = playCase()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// role starts the test's own program in a role.
func role(t *testing.T, name string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(env, roleKey+"="+name)
	return run(t, cmd)
}

// listen listens where the role is to, and says so.
func listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", os.Getenv(addrKey))
	if err == nil {
		fmt.Fprintln(os.Stderr, "listening="+ln.Addr().String())
	}
	return ln, err
}

// playServer serves gRPC's interop service until SIGTERM, and then lets the calls
// that are under way end.
func playServer() error {
	delay, _ := time.ParseDuration(os.Getenv(delayKey)) // none if there is none
	var opts []grpc.ServerOption
	if dir := os.Getenv(certKey); dir != "" {
		creds, err := credentials.NewServerTLSFromFile(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
		if err != nil {
			return err
		}
		opts = append(opts, grpc.Creds(creds))
	}
	opts = append(opts, grpc.MaxRecvMsgSize(128<<20), grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		time.Sleep(delay)
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-server", os.Getenv(nameKey))) // the call goes on without
		return next(ctx, req)
	}))
	s := grpc.NewServer(opts...)
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	healthpb.RegisterHealthServer(s, health.NewServer())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		s.GracefulStop()
	}()
	ln, err := listen()
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// playWeb serves both HTTPs without TLS, and says its name.
func playWeb() error {
	delay, _ := time.ParseDuration(os.Getenv(delayKey))
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(delay)
		w.Header().Set("X-Server", os.Getenv(nameKey))
	})}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	ln, err := listen()
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// dialGRPC returns a connection to addr, by TLS if there is a certificate.
func dialGRPC(addr, certDir string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if certDir != "" {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(filepath.Join(certDir, "cert.pem"), "127.0.0.1"); err != nil {
			return nil, err
		}
	}
	return grpc.NewClient("passthrough:///"+addr, append(opts, grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(128<<20), grpc.MaxCallSendMsgSize(128<<20)))...)
}

// cases are those of gRPC's interop that need no credentials of a cloud. Each of
// them ends the program if it fails.
var cases = map[string]func(ctx context.Context, cc *grpc.ClientConn, tc testgrpc.TestServiceClient){
	"empty_unary":                 with(interop.DoEmptyUnaryCall),
	"large_unary":                 with(interop.DoLargeUnaryCall),
	"client_streaming":            with(interop.DoClientStreaming),
	"server_streaming":            with(interop.DoServerStreaming),
	"ping_pong":                   with(interop.DoPingPong),
	"empty_stream":                with(interop.DoEmptyStream),
	"timeout_on_sleeping_server":  with(interop.DoTimeoutOnSleepingServer),
	"cancel_after_begin":          with(interop.DoCancelAfterBegin),
	"cancel_after_first_response": with(interop.DoCancelAfterFirstResponse),
	"custom_metadata":             with(interop.DoCustomMetadata),
	"status_code_and_message":     with(interop.DoStatusCodeAndMessage),
	"special_status_message":      with(interop.DoSpecialStatusMessage),
	"unimplemented_method": func(ctx context.Context, cc *grpc.ClientConn, _ testgrpc.TestServiceClient) {
		interop.DoUnimplementedMethod(ctx, cc)
	},
	"unimplemented_service": func(ctx context.Context, cc *grpc.ClientConn, _ testgrpc.TestServiceClient) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
	},
}

func with(f func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn, testgrpc.TestServiceClient) {
	return func(ctx context.Context, _ *grpc.ClientConn, tc testgrpc.TestServiceClient) { f(ctx, tc) }
}

// playCase runs a case.
func playCase() error {
	cc, err := dialGRPC(os.Getenv(addrKey), os.Getenv(certKey))
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cases[os.Getenv(nameKey)](ctx, cc, testgrpc.NewTestServiceClient(cc))
	return nil
}

// certificate makes a certificate for 127.0.0.1, and returns the directory of
// cert.pem and key.pem.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"127.0.0.1", "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
