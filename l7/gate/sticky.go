package gate

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"unsafe"

	"sluice/l7/http1"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// StickyBy is what keeps the requests of a client together.
type StickyBy uint8

// By client address or header, equal keys lead to the same backend as long as
// the service's strategy hashes (consistent_hash, maglev), which also bounds the
// load; backends that come take some of the keys. By cookie, a client stays
// where it is, whatever the strategy and whoever comes, as long as its backend
// is eligible and not overloaded.
const (
	NotSticky StickyBy = iota
	StickyClient
	StickyHeader
	StickyCookie
)

// Sticky says how the requests of a client are kept together. Its zero value
// says that they are not.
type Sticky struct {
	By StickyBy
	// Name is that of the header, in lower case, or of the cookie.
	Name string
	// Secret makes cookies that nobody can make who does not know it, nor tell
	// which backend they mean. All sluices in front of a service need the same.
	// Without one, whoever can guess a backend's address can confirm the guess.
	Secret []byte
	// Cookie says how the cookie is set.
	Cookie Cookie
}

func (s *Sticky) validate() error {
	switch {
	case s.By == StickyHeader && (!http1.IsToken([]byte(s.Name)) || strings.ToLower(s.Name) != s.Name):
		return fmt.Errorf("%q is not the name of a header in lower case", s.Name)
	case s.By == StickyCookie && !http1.IsToken([]byte(s.Name)):
		return fmt.Errorf("%q is not the name of a cookie", s.Name)
	case s.By == StickyCookie && strings.ContainsFunc(s.Cookie.Path+s.Cookie.Domain, notInAttribute):
		return errors.New("the cookie's path or domain has a character that it cannot have")
	case s.By > StickyCookie:
		return errors.New("unknown kind of stickiness")
	}
	return nil
}

// key returns what a strategy that hashes shall go by for a request of client.
func (s *Sticky) key(fields []http1.Field, client netip.Addr) (key uint64, ok bool) {
	if s.By != StickyHeader {
		return balance.HashAddr(client), true
	}
	for i := range fields {
		if f := &fields[i]; http1.EqualFold(f.Name, s.Name) && len(f.Value) > 0 {
			return balance.HashString(unsafe.String(&f.Value[0], len(f.Value))), true // it keeps nothing
		}
	}
	return 0, false
}

// pins knows which eligible backend each cookie means. It follows the pool.
type pins struct {
	service string
	secret  []byte
	// attributes and overHTTPS are what follows a cookie, with the line end.
	attributes, overHTTPS string

	current  atomic.Pointer[pinned]
	unfollow func() // ends the calls of follow
}

// end ends what follows the pool. p may be nil.
func (p *pins) end() {
	if p != nil {
		p.unfollow()
	}
}

// pinned is what pins knows of one snapshot. It never changes.
type pinned struct {
	backends map[string]*backend.Backend // by cookie
	cookies  map[*backend.Backend]string
	eligible []*backend.Backend
	weights  int // of all of them
}

func newPins(service string, secret []byte, cookie Cookie) *pins {
	p := &pins{service: service, secret: secret, attributes: cookie.attributes("http"), overHTTPS: cookie.attributes("https")}
	p.follow(&backend.Snapshot{})
	return p
}

// follow is for backend.Pool.OnChange.
func (p *pins) follow(s *backend.Snapshot) {
	n := &pinned{
		backends: make(map[string]*backend.Backend, len(s.Eligible)),
		cookies:  make(map[*backend.Backend]string, len(s.Eligible)),
		eligible: s.Eligible,
	}
	for i, b := range s.Eligible {
		c := p.cookie(b.Addr())
		n.backends[c], n.cookies[b] = b, c
		n.weights += s.Weights[i]
	}
	p.current.Store(n)
}

// cookie returns the value that stands for the backend at addr, the same in every process
// with the same secret: 128 bits of HMAC-SHA256.
func (p *pins) cookie(addr string) string {
	h := hmac.New(sha256.New, p.secret)
	fmt.Fprintf(h, "sluice sticky %q %q", p.service, addr)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

const (
	// pinnedBound is how many times its part of all active slots, by weight, a
	// backend may have before cookies lead elsewhere for a while.
	pinnedBound = 2
	// pinnedFree is how many slots it may have in any case.
	pinnedFree = 32
)

// pick takes a slot of the backend that cookie means, unless it was tried, is
// not eligible or has too many slots taken; then it returns nil. known reports whether the
// cookie means an eligible backend, and so is to be kept.
func (p *pins) pick(cookie []byte, tried *balance.Tried) (b *backend.Backend, known bool) {
	n := p.current.Load()
	b = n.backends[string(cookie)]
	switch {
	case b == nil:
		return nil, false
	case tried.Has(b):
		return nil, false // it has failed just now
	case n.overloaded(b) || !b.TryAcquire():
		return nil, true
	}
	return b, true
}

func (n *pinned) overloaded(b *backend.Backend) bool {
	active := b.Active()
	if active < pinnedFree {
		return false
	}
	all := int64(0)
	for _, x := range n.eligible {
		all += x.Active()
	}
	return active*int64(n.weights) > pinnedBound*all*int64(max(b.Weight(), 1))
}

// appendSetCookie appends a Set-Cookie line that makes a client stay with b, or
// nothing if b has just ceased to be eligible. secure says that the client
// speaks HTTPS.
func (p *pins) appendSetCookie(dst []byte, name string, b *backend.Backend, secure bool) []byte {
	value, ok := p.current.Load().cookies[b]
	if !ok {
		return dst
	}
	dst = append(append(dst, "Set-Cookie: "...), name...)
	dst = append(append(dst, '='), value...)
	if secure {
		return append(dst, p.overHTTPS...)
	}
	return append(dst, p.attributes...)
}

// cookies walks over the cookies of a name in a request's fields: a client may
// have several, for different paths and domains.
type cookies struct {
	fields []http1.Field
	name   string
	rest   []byte // of the field before fields
}

// next returns the value of the next one, without the quotes that it may have,
// or nil after the last.
func (c *cookies) next() []byte {
	for {
		for len(c.rest) > 0 {
			var pair []byte
			pair, c.rest, _ = bytes.Cut(c.rest, []byte(";"))
			name, value, ok := bytes.Cut(http1.TrimSpace(pair), []byte("="))
			if !ok || string(name) != c.name || len(value) == 0 {
				continue
			}
			if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value
		}
		if len(c.fields) == 0 {
			return nil
		}
		if f := &c.fields[0]; http1.EqualFold(f.Name, "cookie") {
			c.rest = f.Value
		}
		c.fields = c.fields[1:]
	}
}

// cookieOf returns the first cookie of that name which means an eligible
// backend, or nil.
func (p *pins) cookieOf(fields []http1.Field, name string) []byte {
	n := p.current.Load()
	walk := cookies{fields: fields, name: name}
	for c := walk.next(); c != nil; c = walk.next() {
		if n.backends[string(c)] != nil {
			return c
		}
	}
	return nil
}
