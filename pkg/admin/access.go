package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
)

// role is what a request may do.
type role int

const (
	nobody  role = iota
	reads        // looks and changes nothing
	changes      // everything
)

// Token is a bearer token: a value, or a file that has it in its first line and
// is read again when it changes. The zero value is none.
type Token struct{ Value, File string }

// isSet reports whether there is a token.
func (t Token) isSet() bool { return t.Value != "" || t.File != "" }

// minFileLook is how often the file of a token is looked at.
const minFileLook = time.Second

// secret is a Token in use, kept as its digest, so that comparing takes the
// same time whatever is sent.
type secret struct {
	flag     string // for messages
	file     string
	troubled func(error) // takes why the file cannot be read; the last token stays

	mu     sync.Mutex
	digest [sha256.Size]byte
	looked time.Time
	seen   os.FileInfo
}

// newSecret returns nil for a token that is not set.
func newSecret(flag string, t Token, troubled func(error)) (*secret, error) {
	if !t.isSet() {
		return nil, nil
	}
	s := &secret{flag: flag, file: t.File, troubled: troubled}
	value := t.Value
	if s.file != "" {
		var err error
		if value, s.seen, err = readToken(s.file); err != nil {
			return nil, fmt.Errorf("cannot read the token of --%s-file: %w", flag, err)
		}
	}
	if err := checkToken(value); err != nil {
		return nil, fmt.Errorf("cannot use the token of --%s: %w", flag, err)
	}
	s.digest, s.looked = sha256.Sum256([]byte(value)), time.Now()
	return s, nil
}

// readToken returns the first line of a file.
func readToken(path string) (string, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, err
	}
	if info.Size() > maxHeaderBytes {
		return "", nil, fmt.Errorf("%q is larger than any token", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSpace(line)
	if line == "" {
		return "", nil, fmt.Errorf("%q is empty", path)
	}
	return line, info, nil
}

func checkToken(s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("it has spaces or characters that no header can carry")
	}
	return nil
}

// match reports whether a digest is that of the secret.
func (s *secret) match(digest [sha256.Size]byte) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	return subtle.ConstantTimeCompare(digest[:], s.digest[:]) == 1
}

// refresh reads the file if it has changed; s.mu is held.
func (s *secret) refresh() {
	if s.file == "" || time.Since(s.looked) < minFileLook {
		return
	}
	s.looked = time.Now()
	info, err := os.Stat(s.file)
	if err == nil && os.SameFile(info, s.seen) && info.ModTime().Equal(s.seen.ModTime()) && info.Size() == s.seen.Size() {
		return
	}
	value, info, err := readToken(s.file)
	if err == nil {
		err = checkToken(value)
	}
	if err != nil {
		s.troubled(err)
		return
	}
	s.seen, s.digest = info, sha256.Sum256([]byte(value))
}

// access says who may do what. Its zero value lets everybody do everything.
type access struct {
	all, read *secret // nil: no such token
}

// needed reports whether a token is.
func (a *access) needed() bool { return a.all != nil || a.read != nil }

// of returns what a request may do by its Authorization header.
func (a *access) of(r *http.Request) role {
	if !a.needed() {
		return changes
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	digest := sha256.Sum256([]byte(strings.TrimLeft(value, " ")))
	// Both are compared whatever comes of the first.
	all, read := a.all.match(digest), a.read.match(digest)
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return nobody
	case all:
		return changes
	case read:
		return reads
	}
	return nobody
}

// mayRead reports whether a request is one for whom only looks: safe, and not a
// profile, which has memory in it.
func mayRead(r *http.Request) bool {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	return safe && !strings.HasPrefix(r.URL.Path, "/debug/pprof")
}

// demands reports whether cfg lets nobody in without a certificate that it has
// verified, and verifies whether it verifies those that are shown.
func demands(cfg *tls.Config) (demands, verifies bool) {
	if cfg == nil {
		return false, false
	}
	verifies = cfg.VerifyConnection != nil || cfg.ClientAuth >= tls.VerifyClientCertIfGiven
	return verifies && (cfg.ClientAuth == tls.RequireAnyClientCert || cfg.ClientAuth == tls.RequireAndVerifyClientCert), verifies
}

// identity names who sent a request, for the journal: the name in the client's
// certificate, or where it came from.
func (a *api) identity(r *http.Request) string {
	if _, verified := demands(a.TLS); verified && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		if cn := r.TLS.PeerCertificates[0].Subject.CommonName; cn != "" && len(cn) < 100 && !strings.ContainsFunc(cn, unicode.IsControl) {
			return cn
		}
	}
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "unix socket"
	}
	if i := strings.LastIndexByte(r.RemoteAddr, ':'); i > 0 {
		return r.RemoteAddr[:i]
	}
	return r.RemoteAddr
}
