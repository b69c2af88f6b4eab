package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/pkg/certificate/certificatetest"
)

// TestAdminSocket has the control plane on a unix socket, asked by ctl and
// healthcheck.
func TestAdminSocket(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 1)
	path := filepath.Join(t.TempDir(), "admin.sock")
	s := start(t, "sluice", nil, "--l4=127.0.0.1:0=echo", "--backend=echo="+addrs[0], "--admin=unix:"+path+",mode=0600")
	s.addr("l4")
	eventually(t, "it answers", func() bool { code, _, _ := ctlAt("unix:"+path, "services"); return code == exitOK })
	if code, out, err := ask([]string{"SLUICE_ADMIN=unix:" + path}, "--ready"); code != exitOK {
		t.Fatalf("unexpected end of healthcheck: %d %s%s", code, out, err)
	}
	s.signal(syscall.SIGINT)
	s.signal(syscall.SIGINT)
	s.wait()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("the socket is left behind: %v", err)
	}
}

// TestAdminTLS asks for the certificates of operators, whose names are in the
// journal.
func TestAdminTLS(t *testing.T) {
	t.Parallel()
	_, addrs := startEchos(t, 2)
	servers, clients := certificatetest.NewAuthority(t), certificatetest.NewAuthority(t)
	cert, key := servers.Write(t, "127.0.0.1")
	s := startSluice(t, append(backendArgs(addrs), "--admin=127.0.0.1:0", "--admin-tls-cert="+cert, "--admin-tls-key="+key, "--admin-client-ca="+clients.WriteCA(t))...)
	admin := s.addr("admin")
	call := func(own ...tls.Certificate) (status int, body string, err error) {
		c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: servers.Pool(), Certificates: own}}}
		resp, err := c.Post("https://"+admin+"/admin/drain?url="+addrs[0], "", nil)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	if _, _, err := call(); err == nil {
		t.Fatal("somebody without a certificate was let in")
	}
	if _, _, err := call(certificatetest.NewAuthority(t).IssueClient(t, "mallory", nil)); err == nil {
		t.Fatal("somebody with the certificate of another authority was let in")
	}
	status, body, err := call(clients.IssueClient(t, "maria", nil))
	if err != nil || status != http.StatusOK || !strings.Contains(body, `"by": "maria"`) {
		t.Fatalf("unexpected answer to an operator: %d %s, %v", status, body, err)
	}
}
