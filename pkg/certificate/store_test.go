package certificate

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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
	cert, key := ca.Issue(t, "one.example")
	put(t, filepath.Join(dir, "a.crt"), cert)
	put(t, filepath.Join(dir, "a.key"), key)
	cert, key = ca.Issue(t, "two.example")
	put(t, filepath.Join(dir, "b.pem"), append(cert, key...))
	put(t, filepath.Join(dir, "README"), []byte("x"))
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
	replace := func(c, k []byte) (changed bool) {
		put(t, cert, c)
		put(t, key, k)
		return s.Reload()
	}
	if s.Reload() {
		t.Fatal("files that did not change were loaded")
	}
	c, k := ca.Issue(t, "new.example")
	if !replace(c, k) || len(s.Troubles()) != 0 {
		t.Fatalf("unexpected reload: %v", s.Troubles())
	}
	if got := shown(t, s, ""); got != "new.example" {
		t.Fatalf("unexpected certificate %q", got)
	}
	_, foreign := ca.Issue(t, "x.example")
	for _, broken := range []struct{ c, k []byte }{{c, foreign}, {c[:len(c)/2], k}, {nil, nil}, {[]byte("x"), k}} {
		if replace(broken.c, broken.k) || len(s.Troubles()) != 1 {
			t.Fatalf("unexpected reload of a broken certificate: %v", s.Troubles())
		}
		if got := shown(t, s, ""); got != "new.example" {
			t.Fatalf("unexpected certificate after a bad reload: %q", got)
		}
	}
	c, k = ca.Issue(t, "newer.example")
	if !replace(c, k) || len(s.Troubles()) != 0 {
		t.Fatalf("unexpected reload: %v", s.Troubles())
	}
	if got := shown(t, s, ""); got != "newer.example" {
		t.Fatalf("unexpected certificate %q", got)
	}
	if changed, failed := s.Loads(); changed != 2 || failed < 2 {
		t.Fatalf("unexpected counts: %d, %d", changed, failed)
	}
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// files returns the names of the certificates in use below dir.
func files(s *Store, dir string) (all []string) {
	for _, e := range s.Expiries() {
		name, _ := filepath.Rel(dir, e.File)
		all = append(all, name)
	}
	return all
}

// TestLayouts opens directories as other programs leave them.
func TestLayouts(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	authority, err := os.ReadFile(ca.WriteCA(t))
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue(t, "one.example")
	cert2, key2 := ca.Issue(t, "two.example")
	join := func(all ...[]byte) []byte { return slices.Concat(all...) }
	for name, c := range map[string]struct {
		files    map[string][]byte
		want     []string
		troubles int
	}{
		"certbot": {map[string][]byte{
			"README": []byte("This directory..."), "one.example/README": []byte("x"),
			"one.example/cert.pem": cert, "one.example/chain.pem": authority, "one.example/fullchain.pem": join(cert, authority), "one.example/privkey.pem": key,
			"two.example/cert.pem": cert2, "two.example/chain.pem": authority, "two.example/fullchain.pem": join(cert2, authority), "two.example/privkey.pem": key2,
		}, []string{"one.example/fullchain.pem", "two.example/fullchain.pem"}, 0},
		"Kubernetes":        {map[string][]byte{"ca.crt": authority, "tls.crt": cert, "tls.key": key, "..2026/tls.crt": cert2, "..2026/tls.key": key2}, []string{"tls.crt"}, 0},
		"HAProxy":           {map[string][]byte{"a.pem": join(cert, authority, key), "b.crt": cert2, "b.crt.key": key2, "dh.pem": []byte("-----BEGIN DH PARAMETERS-----\nMA==\n-----END DH PARAMETERS-----\n")}, []string{"a.pem", "b.crt"}, 0},
		"key first":         {map[string][]byte{"a.pem": join(key, authority, cert)}, []string{"a.pem"}, 0},
		"other extensions":  {map[string][]byte{"server.cer": cert, "server.private": key}, []string{"server.cer"}, 0},
		"a broken one":      {map[string][]byte{"a.pem": join(cert, key), "b.pem": []byte("garbage")}, []string{"a.pem"}, 1},
		"one without a key": {map[string][]byte{"a.pem": join(cert, key), "b.crt": cert2}, []string{"a.pem"}, 1},
		"a foreign key":     {map[string][]byte{"a.pem": join(cert, key), "b.crt": cert2, "b.key": key}, []string{"a.pem"}, 1},
	} {
		dir := t.TempDir()
		for path, b := range c.files {
			put(t, filepath.Join(dir, path), b)
		}
		s := open(t, Source{Cert: dir})
		if got := files(s, dir); !slices.Equal(got, c.want) {
			t.Errorf("%s: unexpected certificates; got %q; want %q", name, got, c.want)
		}
		if got := s.Troubles(); len(got) != c.troubles {
			t.Errorf("%s: unexpected troubles: %v", name, got)
		}
		if got := shown(t, s, "one.example"); got != "one.example" {
			t.Errorf("%s: unexpected certificate for one.example: %s", name, got)
		}
	}
}

// TestMount renews a Kubernetes secret by its link, and breaks it.
func TestMount(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	dir := t.TempDir()
	mount := func(version, name string) {
		t.Helper()
		cert, key := ca.Issue(t, name)
		put(t, filepath.Join(dir, version, "tls.crt"), cert)
		put(t, filepath.Join(dir, version, "tls.key"), key)
		next := filepath.Join(dir, "..data_tmp")
		if err := errors.Join(os.Symlink(version, next), os.Rename(next, filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	mount("..1", "one.example")
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Source{Cert: dir})
	mount("..2", "two.example")
	if !s.Reload() || shown(t, s, "") != "two.example" {
		t.Fatalf("unexpected certificate %q", shown(t, s, ""))
	}
	if err := os.Remove(filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if s.Reload() || shown(t, s, "") != "two.example" || len(s.Troubles()) == 0 {
		t.Fatalf("unexpected certificate %q; troubles %v", shown(t, s, ""), s.Troubles())
	}
}

// TestEachAlone breaks one of two certificates of a directory while the other
// is renewed, and removes it.
func TestEachAlone(t *testing.T) {
	t.Parallel()
	ca := certificatetest.NewAuthority(t)
	dir := t.TempDir()
	set := func(name string, cert, key []byte) {
		put(t, filepath.Join(dir, name+".crt"), cert)
		put(t, filepath.Join(dir, name+".key"), key)
	}
	a, ak := ca.Issue(t, "a.example")
	b, bk := ca.Issue(t, "b.example")
	set("a", a, ak)
	set("b", b, bk)
	s := open(t, Source{Cert: dir})
	next, nextKey := ca.Issue(t, "c.example")
	set("a", next, nextKey)
	for what, broken := range map[string]func(){
		"cut":       func() { set("b", b[:100], bk) },
		"empty":     func() { set("b", nil, nil) },
		"other key": func() { set("b", b, nextKey) },
	} {
		broken()
		s.Reload()
		if got := shown(t, s, "b.example"); got != "b.example" || len(s.Troubles()) == 0 {
			t.Errorf("%s: unexpected certificate %s; troubles %v", what, got, s.Troubles())
		}
		if got := shown(t, s, "c.example"); got != "c.example" {
			t.Errorf("%s: unexpected certificate %s of the other", what, got)
		}
	}
	for _, name := range []string{"b.crt", "b.key"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Reload() || len(s.Troubles()) != 0 || len(s.Expiries()) != 1 {
		t.Fatalf("unexpected certificates of a directory: %v; troubles %v", s.Expiries(), s.Troubles())
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
