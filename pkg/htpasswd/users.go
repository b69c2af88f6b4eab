package htpasswd

import (
	"fmt"
	"strings"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// users are the hashes of a file's content, by name. They never change.
type users struct {
	hashes map[string]htpasswd.EncodedPasswd
	decoy  htpasswd.EncodedPasswd // for names that there are not, so that they take as long; nil without any
}

// parse reads the content of a file. Empty lines and those that begin with # say
// nothing; a line that cannot be used makes the whole unusable. No error shows a
// hash.
func parse(content string) (*users, error) {
	u := &users{hashes: make(map[string]htpasswd.EncodedPasswd)}
	n := 0
	for line := range strings.Lines(content) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		hash, _, _ = strings.Cut(hash, ":") // what follows is a comment
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d is not NAME:HASH", n)
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return nil, fmt.Errorf("line %d has no name that can be used", n)
		case u.hashes[name] != nil:
			return nil, fmt.Errorf("line %d: the name %q comes twice", n, name)
		}
		encoded, err := parseHash(hash)
		if err != nil {
			return nil, fmt.Errorf("line %d: the hash of %q %w", n, name, err)
		}
		u.hashes[name] = encoded
		if u.decoy == nil {
			u.decoy = encoded
		}
	}
	return u, nil
}

func parseHash(hash string) (htpasswd.EncodedPasswd, error) {
	if strings.HasPrefix(hash, "$2") {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil || len(hash) != 60 || strings.HasPrefix(hash, "$2x$") {
			return nil, fmt.Errorf("is not a good one of bcrypt")
		}
	}
	for _, accept := range []htpasswd.PasswdParser{
		htpasswd.AcceptBcrypt, htpasswd.AcceptMd5, htpasswd.AcceptSha, htpasswd.AcceptSsha, htpasswd.AcceptCryptSha,
	} {
		switch encoded, err := accept(hash); {
		case err != nil:
			return nil, fmt.Errorf("is malformed")
		case encoded != nil:
			return encoded, nil
		}
	}
	return nil, fmt.Errorf("is of no kind that is known: bcrypt, apr1, SHA, SSHA, and crypt's SHA-256 and SHA-512")
}

// match reports whether name has that password. It takes as long for a name that
// there is not.
func (u *users) match(name, password string) bool {
	encoded, known := u.hashes[name]
	if !known {
		encoded = u.decoy
	}
	return encoded != nil && encoded.MatchesPassword(password) && known
}
