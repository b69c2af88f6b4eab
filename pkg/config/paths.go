package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Paths says how an HTTP listener reads the paths of requests. Empty is check,
// which refuses what another reading would lead elsewhere, and, for NUL, reject.
type Paths struct {
	Form         string // normalized or raw, in which they are forwarded; empty: normalized where a policy hangs on the route
	EncodedSlash string // check, keep, decode or reject
	Backslash    string // the same
	Semicolon    string // check, keep or reject
	NUL          string // keep or reject
}

// pathForms are the values of path=.
func pathForms() []string { return []string{"normalized", "raw"} }

func (p *Paths) keys() []string {
	return []string{"path", "encoded-slash", "backslash", "semicolon", "nul"}
}

func (p *Paths) set(key, value string) error {
	to, known := &p.Form, pathForms()
	switch key {
	case "encoded-slash":
		to, known = &p.EncodedSlash, []string{"check", "keep", "decode", "reject"}
	case "backslash":
		to, known = &p.Backslash, []string{"check", "keep", "decode", "reject"}
	case "semicolon":
		to, known = &p.Semicolon, []string{"check", "keep", "reject"}
	case "nul":
		to, known = &p.NUL, []string{"reject", "keep"}
	}
	if !slices.Contains(known, value) {
		return fmt.Errorf("%s=%q is none of %s", key, value, strings.Join(known, ", "))
	}
	*to = value
	return nil
}

func (p *Paths) pairs() []pair {
	return []pair{{"path", p.Form}, {"encoded-slash", p.EncodedSlash}, {"backslash", p.Backslash}, {"semicolon", p.Semicolon}, {"nul", p.NUL}}
}

// spelled returns the one spelling of a route's path that tells it from others:
// decoded, but for slashes and percent signs, and without empty segments.
func spelled(path string) string {
	path = strings.NewReplacer("%2f", "%252F", "%2F", "%252F", "%25", "%2525").Replace(path)
	if plain, err := url.PathUnescape(path); err == nil {
		path = plain
	}
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}
