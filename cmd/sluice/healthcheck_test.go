package main

import (
	"bytes"
	"net"
	"strings"
	"syscall"
	"testing"
)

// ask runs the command healthcheck in this process.
func ask(environ []string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(append([]string{"healthcheck"}, args...), environ, &out, &err, signals{})
	return code, out.String(), err.String()
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	s := start(t, "sluice", nil, "--l4=127.0.0.1:0=echo", "--backend=echo="+addrs[0], "--admin=127.0.0.1:0", "--health-addr=0.0.0.0:0", "--drain-delay=1h")
	_, port, _ := net.SplitHostPort(s.addr("health"))
	for _, args := range [][]string{
		{"--addr=" + s.addr("admin")}, {"--addr=:" + port}, {"--addr=0.0.0.0:" + port}, {"--addr=[::]:" + port}, {"--addr=localhost:" + port},
	} {
		if code, out, err := ask(nil, args...); code != exitOK || out != "ok\n" || err != "" {
			t.Errorf("unexpected end of %q: %d, %q, %q", args, code, out, err)
		}
	}
	for _, environ := range [][]string{{"SLUICE_ADMIN=" + s.addr("admin")}, {"SLUICE_ADMIN=off", "SLUICE_HEALTH_ADDR=:" + port}, {"SLUICE_HEALTH_RISE=x", "SLUICE_ADMIN=" + s.addr("admin")}} {
		if code, out, err := ask(environ); code != exitOK || out != "ok\n" {
			t.Errorf("unexpected end with %q: %d, %q, %q", environ, code, out, err)
		}
	}
	eventually(t, "it is ready", func() bool { code, _, _ := ask(nil, "--ready", "--addr="+s.addr("admin")); return code == exitOK })
	s.signal(syscall.SIGTERM)
	eventually(t, "it is not ready any more", func() bool {
		code, _, err := ask(nil, "--ready", "--addr="+s.addr("admin"))
		return code == exitFailed && strings.Contains(err, "503") && strings.Contains(err, "draining")
	})
	if code, _, err := ask(nil, "--addr="+s.addr("admin")); code != exitOK {
		t.Errorf("unexpected end while it drains: %d, %q", code, err)
	}

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed.Close()
	for _, x := range []struct {
		code int
		want string
		args []string
	}{
		{exitFailed, "connection refused", []string{"--addr=" + closed.Addr().String()}},
		{exitFailed, "deadline exceeded", []string{"--timeout=50ms", "--addr=" + silent.Addr().String()}},
		{exitUsage, "is not HOST:PORT", []string{"--addr=9900"}},
		{exitUsage, "a port that the system chooses", []string{"--addr=127.0.0.1:0"}},
		{exitUsage, "unknown flag: --bogus", []string{"--bogus"}},
		{exitUsage, `unexpected argument "x"`, []string{"x"}},
		{exitUsage, "is not above 0", []string{"--timeout=0s"}},
	} {
		if code, out, err := ask(nil, x.args...); code != x.code || out != "" || !strings.Contains(err, x.want) {
			t.Errorf("unexpected end of %q: %d, %q, %q; want %d, %q", x.args, code, out, err, x.code, x.want)
		}
	}
	if code, _, err := ask([]string{"SLUICE_ADMIN=off"}); code != exitUsage || !strings.Contains(err, "nothing can be asked") {
		t.Errorf("unexpected end without a control plane: %d, %q", code, err)
	}
	if code, out, _ := ask(nil, "--help"); code != exitOK || !strings.Contains(out, "--ready") {
		t.Errorf("unexpected help: %d, %q", code, out)
	}
}
