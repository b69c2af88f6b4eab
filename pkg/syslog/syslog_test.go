package syslog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const limit = 30 * time.Second

// message is what RFC 5424 6 says of one without structured data.
var message = regexp.MustCompile(`^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(?:Z|[+-]\d\d:\d\d)) \S{1,255} \S{1,48} \d{1,128} \S{1,32} - (.*)$`)

func TestHeader(t *testing.T) {
	t.Parallel()
	h := NewHeader(16, "sluice", "access")
	for at, want := range map[time.Time]string{
		time.Date(2026, 11, 29, 19, 5, 7, 123456789, time.UTC):                "2026-11-29T19:05:07.123456Z",
		time.Date(2026, 11, 29, 19, 5, 7, 0, time.FixedZone("", 5*3600+1800)): "2026-11-29T19:05:07.000000+05:30",
	} {
		m := message.FindStringSubmatch(string(h.Append(nil, at, false)) + "text")
		if m == nil || m[1] != "134" || m[2] != want || m[3] != "text" {
			t.Errorf("unexpected header: %q", m)
		}
	}
	if got := string(h.Append(nil, time.Now(), true)); !strings.HasPrefix(got, "<132>1 ") {
		t.Errorf("unexpected header of a warning: %q", got)
	}
}

// readCounted reads a message with counted octets.
func readCounted(r *bufio.Reader) (string, error) {
	n, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	length, err := strconv.Atoi(strings.TrimSuffix(n, " "))
	if err != nil {
		return "", err
	}
	b := make([]byte, length)
	_, err = io.ReadFull(r, b)
	return string(b), err
}

func write(t *testing.T, w *Writer, text string) {
	t.Helper()
	if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("unexpected end of a write of %d bytes: %d, %v", len(text), n, err)
	}
}

// TestDatagrams sends to servers of datagrams.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	for network, addr := range map[string]string{"udp": "127.0.0.1:0", "unixgram": filepath.Join(t.TempDir(), "log")} {
		server, err := net.ListenPacket(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		w := New(strings.TrimSuffix(network, "gram"), server.LocalAddr().String())
		defer w.Close()
		long := strings.Repeat("x", 100<<10)
		if network == "unixgram" {
			long = strings.Repeat("x", 1<<20)
		}
		write(t, w, "one\ntwo\n"+long+"\nthree\n")
		if err := server.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64<<10)
		for _, want := range []string{"one", "two", long[:maxDatagram], "three"} {
			n, _, err := server.ReadFrom(b)
			if err != nil || string(b[:n]) != want {
				t.Fatalf("unexpected message over %s: %.20q, %v; want %.20q", network, b[:n], err, want)
			}
		}
	}
}

// TestStream has a server of TCP go away and come back: lines wait for it, and none
// is lost that was not under way.
func TestStream(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := server.Addr().String()
	w := New("tcp", addr)
	defer w.Close()
	accept := func(server net.Listener) (net.Conn, *bufio.Reader) {
		conn, err := server.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(limit))
		return conn, bufio.NewReader(conn)
	}
	expect := func(r *bufio.Reader, want string) {
		t.Helper()
		if got, err := readCounted(r); got != want || err != nil {
			t.Fatalf("unexpected message %q, %v; want %q", got, err, want)
		}
	}
	write(t, w, "one\ntwo\n")
	conn, r := accept(server)
	expect(r, "one")
	expect(r, "two")
	link := w.out
	server.Close()
	conn.Close()
	for end := time.Now().Add(limit); !link.gone.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not noticed that the server has gone")
		}
	}
	if n, err := w.try([]byte("three\n")); n != 0 || err == nil {
		t.Fatalf("unexpected end of a write to nobody: %d, %v", n, err)
	}
	again := make(chan net.Listener, 1)
	go func() {
		defer close(again)
		if l, err := net.Listen("tcp", addr); err == nil {
			again <- l
		}
	}()
	write(t, w, "three\n")
	server, ok := <-again
	if !ok {
		t.Skip("somebody else has the port")
	}
	defer server.Close()
	conn, r = accept(server)
	defer conn.Close()
	expect(r, "three")
}

// TestUnixStream sends to a socket that is a stream.
func TestUnixStream(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	server, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w := New("unix", path)
	defer w.Close()
	write(t, w, "one\n")
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := readCounted(bufio.NewReader(conn)); got != "one" || err != nil {
		t.Fatalf("unexpected message %q, %v", got, err)
	}
}

// TestClose ends a write that waits for a server that is not there.
func TestClose(t *testing.T) {
	t.Parallel()
	w := New("unix", filepath.Join(t.TempDir(), "nobody"))
	ended := make(chan error, 1)
	go func() {
		n, err := w.Write([]byte("one\n"))
		ended <- fmt.Errorf("%d bytes: %w", n, err)
	}()
	w.Close()
	w.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, errClosed) || !strings.HasPrefix(err.Error(), "0 bytes") {
			t.Fatalf("unexpected end: %v", err)
		}
	case <-time.After(limit):
		t.Fatal("a write does not end")
	}
}
