package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// content is what a file holds.
type content struct {
	path  string
	certs []*x509.Certificate
	keys  []crypto.Signer
	err   error // what is wrong with it; what else it holds counts all the same
}

var (
	errNoPEM     = errors.New("there is no PEM in it")
	errEncrypted = errors.New("its private key is encrypted")
	errNoKey     = errors.New("there is no private key that fits")
	errNoCert    = errors.New("there is no certificate in it")
)

// parse reads a file's bytes. Whoever has a name that promises PEM must hold
// some.
func parse(path string, b []byte) content {
	f := content{path: path}
	blocks := 0
	for rest := b; ; blocks++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case block.Type == "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				f.err = err
				continue
			}
			f.certs = append(f.certs, c)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			f.err = errEncrypted
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			k, err := parseKey(block.Bytes)
			if err != nil {
				f.err = err
				continue
			}
			f.keys = append(f.keys, k)
		}
	}
	if promises := []string{".pem", ".crt", ".cer", ".key"}; blocks == 0 && slices.Contains(promises, strings.ToLower(filepath.Ext(path))) {
		f.err = errNoPEM
	}
	return f
}

func parseKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	switch k := k.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("its private key is a %T, which TLS has no use for", k)
}

// fits reports whether key is that of c.
func fits(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// pairing is a certificate of a file, with the others of that file as its
// chain, and its key.
type pairing struct {
	path  string
	chain []*x509.Certificate // the certificate itself is the first
	key   crypto.Signer
}

// match returns the certificate of f that one of keys fits, as a pairing.
func (f *content) match(keys []crypto.Signer) (p pairing, ok bool) {
	for i, c := range f.certs {
		for _, k := range keys {
			if fits(c, k) {
				chain := append([]*x509.Certificate{c}, f.certs[:i]...)
				return pairing{f.path, append(chain, f.certs[i+1:]...), k}, true
			}
		}
	}
	return p, false
}

// pair finds the certificates of a directory's files that have a key there, in
// the order of the files; of several with one certificate the one with the
// longest chain. Certificates of authorities are left out, unless there is
// nothing else. What is wrong is in troubles.
func pair(files []content) (pairs []pairing, troubles []Trouble) {
	var keys []crypto.Signer
	for _, f := range files {
		keys = append(keys, f.keys...)
	}
	same := func(p pairing) func(pairing) bool {
		return func(x pairing) bool { return len(p.chain) > 0 && x.chain[0].Equal(p.chain[0]) }
	}
	var unpaired []content
	for _, f := range files {
		p, ok := f.match(keys)
		switch i := slices.IndexFunc(pairs, same(p)); {
		case !ok && len(f.certs) > 0:
			unpaired = append(unpaired, f)
		case !ok:
		case i < 0:
			pairs = append(pairs, p)
		case len(p.chain) > len(pairs[i].chain):
			pairs[i] = p
		}
		if f.err != nil {
			troubles = append(troubles, Trouble{f.path, f.err})
		}
	}
	authority := func(p pairing) bool { return p.chain[0].IsCA }
	if slices.ContainsFunc(pairs, func(p pairing) bool { return !authority(p) }) {
		pairs = slices.DeleteFunc(pairs, authority)
	}
	return pairs, append(troubles, lacking(unpaired)...)
}

// lacking returns a trouble for each file that should have a key and has none.
func lacking(files []content) (troubles []Trouble) {
	for _, f := range files {
		if !f.certs[0].IsCA && f.err == nil {
			troubles = append(troubles, Trouble{f.path, errNoKey})
		}
	}
	return troubles
}
