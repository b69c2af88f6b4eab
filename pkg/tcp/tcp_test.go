package tcp

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"sluice/pkg/certificate/certificatetest"
)

// pairOf returns both ends of a connection, through TLS if secure.
func pairOf(t *testing.T, secure bool) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	for _, c := range []net.Conn{near, far} {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	}
	if !secure {
		return near, far
	}
	ca := certificatetest.NewAuthority(t)
	certFile, keyFile := ca.Write(t, "a.example")
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}})
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	client := tls.Client(near, &tls.Config{RootCAs: ca.Pool(), ServerName: "a.example"})
	if err := errors.Join(client.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// TestCloseWrite ends one direction, and leaves the other one.
func TestCloseWrite(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		near, far := pairOf(t, secure)
		if err := CloseWrite(near); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(far); len(b) > 0 || err != nil {
			t.Fatalf("TLS %v: unexpected end: %q, %v", secure, b, err)
		}
		if n, err := Innermost(far).Read(make([]byte, 1)); n > 0 || err != io.EOF {
			t.Fatalf("TLS %v: unexpected end of what is below: %d, %v", secure, n, err)
		}
		_, _ = io.WriteString(far, "late")
		far.Close()
		if b, err := io.ReadAll(near); string(b) != "late" || err != nil {
			t.Fatalf("TLS %v: unexpected answer: %q, %v", secure, b, err)
		}
	}
}

// TestBreak breaks a connection, which its peer sees as broken.
func TestBreak(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		near, far := pairOf(t, secure)
		if IsBroken(far) {
			t.Fatal("unexpected: broken before it is")
		}
		Break(near).Close()
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("TLS %v: unexpected end: %v", secure, err)
		}
		if got, want := IsBroken(far), runtime.GOOS == "linux"; got != want {
			t.Fatalf("TLS %v: unexpected word of the kernel: %v", secure, got)
		}
	}
}

// TestUserTimeout is taken by the kernel, and leaves alone what is no socket.
func TestUserTimeout(t *testing.T) {
	t.Parallel()
	near, _ := pairOf(t, true)
	SetUserTimeout(near, time.Second)
	if got, want := userTimeout(t, near), time.Second; runtime.GOOS == "linux" && got != want {
		t.Fatalf("unexpected user timeout; got %v; want %v", got, want)
	}
	SetUserTimeout(near, 0)
	if got := userTimeout(t, near); runtime.GOOS == "linux" && got != time.Second {
		t.Fatalf("unexpected user timeout after none was asked for: %v", got)
	}
	a, _ := net.Pipe()
	SetUserTimeout(a, time.Second)
	if IsBroken(a) {
		t.Fatal("unexpected: a pipe is broken")
	}
}
