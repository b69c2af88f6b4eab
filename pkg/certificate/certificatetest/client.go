package certificatetest

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"os"
	"testing"
	"time"
)

// IssueClient returns a certificate for a client. edit, if not nil, changes what
// is signed.
func (a *Authority) IssueClient(t testing.TB, name string, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	k := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xbeef), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	template.Subject.CommonName = name
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

// ReplaceCA makes the file at path that of the authority.
func (a *Authority) ReplaceCA(t testing.TB, path string) {
	t.Helper()
	write(t, path+".new", a.pem)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
