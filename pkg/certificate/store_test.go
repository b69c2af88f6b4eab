package certificate

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"sluice/pkg/certificate/certificatetest"
)

// shown returns the first name of the certificate that a client sees which
// asks for name.
func shown(t *testing.T, s *Store, name string) string {
	t.Helper()
	c, err := s.Get(&tls.ClientHelloInfo{
		ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.DNSNames[0]
}

func open(t *testing.T, sources ...Source) *Store {
	t.Helper()
	s, err := Open(slog.New(slog.DiscardHandler), sources...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestChoice(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	cert1, key1 := ca.Write(t, "one.example")
	cert2, key2 := ca.Write(t, "*.two.example")
	s := open(t, Source{cert1, key1}, Source{cert2, key2})
	for name, want := range map[string]string{
		"one.example": "one.example", "a.two.example": "*.two.example",
		"": "one.example", "other.example": "one.example", "a.b.two.example": "one.example",
	} {
		if got := shown(t, s, name); got != want {
			t.Errorf("unexpected certificate for %q; got %q; want %q", name, got, want)
		}
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	dir := t.TempDir()
	put := func(name string, b ...byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := ca.Issue(t, "one.example")
	put("a.crt", cert...)
	put("a.key", key...)
	cert, key = ca.Issue(t, "two.example")
	put("b.pem", append(cert, key...)...)
	put("README", 'x')
	s := open(t, Source{Cert: dir})
	for _, name := range []string{"one.example", "two.example"} {
		if got := shown(t, s, name); got != name {
			t.Errorf("unexpected certificate for %q; got %q", name, got)
		}
	}
	if _, err := Open(slog.New(slog.DiscardHandler), Source{Cert: t.TempDir()}); err == nil {
		t.Error("no error for an empty directory")
	}
	if _, err := Open(slog.New(slog.DiscardHandler), Source{Cert: dir, Key: "x"}); err == nil {
		t.Error("no error for a directory with a key")
	}
}

// TestReload replaces a certificate by a good, a broken and another good one.
func TestReload(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	cert, key := ca.Write(t, "old.example")
	s := open(t, Source{cert, key})
	replace := func(c, k []byte) (bool, error) {
		for path, b := range map[string][]byte{cert: c, key: k} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return s.reload()
	}
	if changed, err := s.reload(); changed || err != nil {
		t.Fatalf("unexpected reload of files that did not change: %v, %v", changed, err)
	}
	c, k := ca.Issue(t, "new.example")
	if changed, err := replace(c, k); !changed || err != nil {
		t.Fatalf("unexpected reload: %v, %v", changed, err)
	}
	if got := shown(t, s, ""); got != "new.example" {
		t.Fatalf("unexpected certificate %q", got)
	}
	_, foreign := ca.Issue(t, "x.example")
	if changed, err := replace(c, foreign); changed || err == nil {
		t.Fatalf("unexpected reload of a certificate with another's key: %v, %v", changed, err)
	}
	if got := shown(t, s, ""); got != "new.example" {
		t.Fatalf("unexpected certificate after a bad reload: %q", got)
	}
	c, k = ca.Issue(t, "newer.example")
	if changed, err := replace(c, k); !changed || err != nil {
		t.Fatalf("unexpected reload: %v, %v", changed, err)
	}
	if got := shown(t, s, ""); got != "newer.example" {
		t.Fatalf("unexpected certificate %q", got)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	cert, _ := ca.Write(t, "one.example")
	_, key := ca.Write(t, "two.example")
	for name, s := range map[string]Source{
		"no file": {Cert: filepath.Join(t.TempDir(), "none")}, "no key": {Cert: cert}, "other key": {cert, key},
		"no key file": {cert, filepath.Join(t.TempDir(), "none")},
	} {
		if _, err := Open(slog.New(slog.DiscardHandler), s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
