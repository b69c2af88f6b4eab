package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/pkg/certificate/certificatetest"
)

// TestCertificateDirectory starts with certbot's directory of two sites, one of
// them broken. It is mended and both renewed while sluice runs.
func TestCertificateDirectory(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	dir := t.TempDir()
	put := func(path string, b []byte) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	issue := func(site string) {
		t.Helper()
		cert, key := ca.Issue(t, site)
		put(site+"/privkey.pem", key)
		put(site+"/cert.pem", cert)
		put(site+"/fullchain.pem", cert)
	}
	put("README", []byte("This directory contains your keys and certificates."))
	issue("a.example")
	issue("b.example")
	put("b.example/cert.pem", []byte("garbage"))
	put("b.example/fullchain.pem", []byte("garbage"))
	_, addrs := startEchos(t, 1)
	s := start(t, "sluice", nil, "--l7=127.0.0.1:0,tls-cert="+dir, "--route=/=echo", "--backend=echo="+addrs[0], "--admin=127.0.0.1:0")
	admin, addr := s.addr("admin"), s.addr("l7")
	serial := func(site string) string {
		c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: site, RootCAs: ca.Pool()})
		if err != nil {
			return ""
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial("a.example")
	if first == "" || serial("b.example") != "" {
		t.Fatalf("unexpected certificates: %q, %q", first, serial("b.example"))
	}
	eventually(t, "the broken one is told of, and sluice is ready", func() bool {
		status, body := get("http://" + admin + "/readyz")
		return status == 200 && strings.Contains(body, "b.example/fullchain.pem")
	})
	if got := metric(admin, "sluice_certificate_unusable_files"); got != 2 {
		t.Errorf("unexpected number of unusable files; got %v; want 2", got)
	}
	expiry := metric(admin, fmt.Sprintf("sluice_certificate_expiry_timestamp_seconds{file=%q}", filepath.Join(dir, "a.example/cert.pem")))
	if left := time.Until(time.Unix(int64(expiry), 0)); left < time.Minute {
		t.Errorf("unexpected expiry; %v left", left)
	}
	issue("a.example")
	eventually(t, "the other is renewed", func() bool { now := serial("a.example"); return now != first && now != "" })
	issue("b.example")
	eventually(t, "the broken one is mended", func() bool {
		return serial("b.example") != "" && metric(admin, "sluice_certificate_unusable_files") == 0
	})
	if _, body := get("http://" + admin + "/readyz"); strings.Contains(body, "certificates") {
		t.Errorf("unexpected details: %s", body)
	}
}
