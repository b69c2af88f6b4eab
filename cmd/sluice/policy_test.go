package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestAccessLog has everything that ended written before the process does.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	s := startSluice(t, append(backendArgs(addrs), "--access-log", "--drain-delay=0s")...)
	const n = 200
	url := "http://" + s.addr("l7")
	for i := range n {
		if status, body := get(fmt.Sprintf("%s/log-%d", url, i)); status != http.StatusOK {
			t.Fatalf("unexpected answer: %d %s", status, body)
		}
	}
	if err := exchangeTCP(s.addr("l4")); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != exitOK {
		t.Fatalf("unexpected exit code; got %d; want 0", code)
	}
	log := s.text()
	if got := strings.Count(log, `"path":"/log-`); got != n {
		t.Errorf("unexpected number of lines about requests; got %d; want %d", got, n)
	}
	if got := strings.Count(log, `"msg":"connection ended","listener":"l4"`); got != 1 {
		t.Errorf("unexpected number of lines about connections; got %d; want 1", got)
	}
}
