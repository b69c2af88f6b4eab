package reactor

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"sluice/pkg/tcp"
)

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); d.Close() })
	return a.(*net.TCPConn), d.(*net.TCPConn)
}

// tlsPair is tcpPair with TLS on it.
func tlsPair(t *testing.T) (near, far *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a, d := tcpPair(t)
	near = tls.Server(tcp.NewLine(a, nil), &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	far = tls.Client(tcp.NewLine(d, nil), &tls.Config{InsecureSkipVerify: true})
	return near, far
}

// securedPair is tlsPair whose near end a loop carries itself, where it can.
func securedPair(t *testing.T) (near, far *tls.Conn) {
	t.Helper()
	near, far = tlsPair(t)
	shaken := make(chan error, 1)
	go func() { shaken <- far.Handshake() }()
	if err := errors.Join(near.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// adopt makes nc a stream of the first loop of g, with h as its handler.
func adopt(t *testing.T, g *Group, nc net.Conn, h Handler) {
	t.Helper()
	l := g.Loops()[0]
	l.Post(func() {
		c := l.AdoptConn(nc)
		c.Handle(h)
		h.Ready(c)
	})
}

func TestConnEcho(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 3<<20)
	_, _ = mathrand.NewChaCha8([32]byte{1}).Read(sent)
	for _, size := range []int{0, 1, connPeek - 1, connPeek, connPeek + 1, connChunk, 3 << 20} {
		for name, pair := range map[string]func() (near, far net.Conn){
			"tcp": func() (net.Conn, net.Conn) { return tcpPair(t) },
			"tls": func() (net.Conn, net.Conn) { return securedPair(t) },
		} {
			g := newGroup(t, 1)
			near, far := pair()
			adopt(t, g, near, &echo{share: 100 << 10})
			wrote := make(chan error, 1)
			go func() {
				_, err := far.Write(sent[:size])
				if err == nil {
					err = tcp.CloseWrite(far)
				}
				wrote <- err
			}()
			got, err := io.ReadAll(far)
			if err != nil || !bytes.Equal(got, sent[:size]) {
				t.Fatalf("%s, %d bytes: unexpected echo of %d bytes, error %v", name, size, len(got), err)
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
			wantStreams(t, g, 0)
		}
	}
}

// TestConnBounds fills a Conn whose peer does not read: it takes a bounded
// number of bytes, and goes on when the peer does.
func TestConnBounds(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	near, far := tcpPair(t)
	_ = far.SetReadBuffer(64 << 10)
	const size = 16 << 20
	full := make(chan int, 1)
	taken, stopped := 0, false
	adopt(t, g, near, handlerFunc(func(s Stream) {
		for s.Writable() && taken < size {
			n, err := s.Write(make([]byte, min(10_000, size-taken)))
			taken += n
			if err != nil && !errors.Is(err, ErrAgain) {
				t.Error(err)
				return
			}
		}
		c := s.(*Conn)
		c.mu.Lock()
		held := len(c.out)
		c.mu.Unlock()
		if held > connBehind {
			t.Errorf("unexpected bytes held; got %d; want at most %d", held, connBehind)
		}
		if taken < size && !stopped {
			stopped = true
			full <- taken
		}
		if taken == size {
			s.Close() // what was written before is delivered all the same
		}
	}))
	if n := <-full; n >= size {
		t.Fatalf("unexpected bytes taken while nobody reads: all %d", n)
	}
	n, err := io.Copy(io.Discard, far)
	if n != size || err != nil {
		t.Fatalf("unexpected delivery; got %d bytes, error %v; want %d", n, err, size)
	}
}

func TestConnReset(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		g := newGroup(t, 1)
		var near, far net.Conn
		if secure {
			n, f := securedPair(t)
			near, far = n, f
		} else {
			n, f := tcpPair(t)
			near, far = n, f
		}
		adopt(t, g, near, handlerFunc(func(s Stream) {
			if _, err := s.Read(s.Loop().Scratch()); err == nil {
				s.Reset()
				s.Close()
			}
		}))
		if _, err := far.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(far); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("tls %v: unexpected end at the peer; got %v; want a reset", secure, err)
		}
		wantStreams(t, g, 0)
	}
}

// TestConnTellsOfTheEnd resets the peer's side: a read says so, once.
func TestConnTellsOfTheEnd(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	near, far := tcpPair(t)
	ended := make(chan error, 1)
	adopt(t, g, near, handlerFunc(func(s Stream) {
		if _, err := s.Read(s.Loop().Scratch()); err != nil && !errors.Is(err, ErrAgain) {
			ended <- err
			s.Close()
		}
	}))
	_ = far.SetLinger(0)
	far.Close()
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("unexpected end; got %v; want a reset", err)
	}
	wantStreams(t, g, 0)
}

// TestConnBroken resets the peers of connections of which nobody reads, which no
// read can tell.
func TestConnBroken(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("it is not noticed here")
	}
	for name, pair := range map[string]func() (near, far net.Conn){
		"tcp": func() (net.Conn, net.Conn) { return tcpPair(t) },
		"tls": func() (net.Conn, net.Conn) { return securedPair(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, 1)
			near, far := pair()
			broken := make(chan struct{})
			come := make(chan struct{}, 100)
			adopt(t, g, near, handlerFunc(func(s Stream) {
				if s.Readable() {
					come <- struct{}{}
				}
				if s.Broken() {
					s.Close()
					close(broken)
				}
			}))
			_, _ = far.Write([]byte("x"))
			wait(t, come, "a byte")
			_ = tcp.Innermost(far).(*net.TCPConn).SetLinger(0)
			tcp.Innermost(far).Close()
			wait(t, broken, "the reset")
		})
	}
}
