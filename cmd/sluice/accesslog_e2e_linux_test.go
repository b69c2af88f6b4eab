package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAccessLogFile rotates the access log as logrotate does, with requests all
// the time: each of them is in one of the files, and in the messages of the syslog
// server, once.
func TestAccessLogFile(t *testing.T) {
	t.Parallel()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, addrs := startEchos(t, 1)
	path := filepath.Join(t.TempDir(), "access.log")
	s := startSluice(t, "--backend=echo="+addrs[0], "--drain-delay=0s",
		"--access-log-file="+path, "--access-log-format=combined", "--access-log-syslog=udp://"+server.LocalAddr().String()+",facility=local3,tag=edge")
	url := "http://" + s.addr("l7") + "/n?"
	asked := 0
	ask := func() {
		req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s%d", url, asked), nil)
		if err != nil {
			t.Fatal(err)
		}
		asked++
		req.Header.Set("User-Agent", `a "test"`)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	files := []string{path}
	for i, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		ask()
		old := fmt.Sprintf("%s.%d", path, i)
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		files = append(files, old)
		ask() // goes to the old file, or to the new one
		s.signal(sig)
		eventually(t, "the file is opened again", func() bool { ask(); _, err := os.Stat(path); return err == nil })
	}
	if err := exchangeTCP(s.addr("l4")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection's line is there", func() bool {
		text, _ := os.ReadFile(path)
		return strings.Contains(string(text), `"TCP echo client_eof" 200 `)
	})
	s.signal(syscall.SIGINT)
	if code := s.wait(); code != exitOK {
		t.Fatalf("unexpected exit code %d", code)
	}
	var text string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	line := regexp.MustCompile(`(?m)^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /n\?(\d+) HTTP/1\.1" 200 \d+ "-" "a \\"test\\""$`)
	seen := make(map[string]int)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		seen[m[1]]++
	}
	for i := range asked {
		if seen[fmt.Sprint(i)] != 1 {
			t.Fatalf("request %d of %d is in the files %d times:\n%s", i, asked, seen[fmt.Sprint(i)], text)
		}
	}
	// A datagram may be lost, but not all of them.
	message := regexp.MustCompile(`^<158>1 \S+ \S+ edge \d+ access - 127\.0\.0\.1 - - \[.*\] "(GET /n\?\d+ HTTP/1\.1|TCP echo client_eof)" 200 `)
	if err := server.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	if n, _, err := server.ReadFrom(b); err != nil || !message.Match(b[:n]) {
		t.Fatalf("unexpected message %q, %v", b[:n], err)
	}
}

// TestAccessLogSyslogAway has no server at first: nobody waits for it, what it did
// not take is counted, and once it is there it is told.
func TestAccessLogSyslogAway(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	path := filepath.Join(t.TempDir(), "syslog")
	s := startSluice(t, "--backend=echo="+addrs[0], "--access-log-syslog=unix:"+path)
	url := "http://" + s.addr("l7") + "/" + strings.Repeat("x", 900)
	lines := 0.0
	eventually(t, "lines are lost", func() bool {
		for range 200 {
			if status, body := get(url); status != http.StatusOK {
				t.Fatalf("unexpected status %d: %s", status, body)
			}
		}
		lines = lostLines(s.addr("admin"), "slow_output") + lostLines(s.addr("admin"), "write_error")
		return lines > 0
	})
	eventually(t, "it is said", func() bool { return strings.Contains(s.text(), "lines of the access log were lost") })
	server, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text, err := bufio.NewReader(conn).ReadString('}')
	if err != nil || !regexp.MustCompile(`^\d+ <134>1 \S+ \S+ sluice \d+ access - \{"time":"`).MatchString(text) {
		t.Fatalf("unexpected message %q, %v", text, err)
	}
}

// TestAccessLogCannotOpen ends the start, which names the flag.
func TestAccessLogCannotOpen(t *testing.T) {
	t.Parallel()
	s := start(t, "sluice", nil, "--l4=127.0.0.1:0=echo", "--backend=echo=127.0.0.1:1", "--admin=off", "--access-log-file="+t.TempDir()+"/nowhere/log")
	if code := s.wait(); code != exitFailed || !strings.Contains(s.text(), "--access-log-file: open ") {
		t.Fatalf("unexpected end: %d\n%s", code, s.text())
	}
}
