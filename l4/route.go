package l4

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"os"
	"strings"

	"sluice/pkg/clienthello"
	"sluice/pkg/listen"
	"sluice/pkg/preface"
)

// Route leads connections to a service.
type Route struct {
	// Name is the name that TLS clients ask for, exactly or as "*.example.com"
	// for one label more, in lower case; "" is any other, and all connections
	// of a listener that has no other routes.
	Name    string
	Service Service
}

// find returns the service for a name, or nil. The exact name wins over a
// wildcard, which stands for one label (RFC 9525, 6.3).
func (g *Gate) find(name string) *Upstream {
	if u := g.named[name]; u != nil {
		return u
	}
	if label, parent, ok := strings.Cut(name, "."); ok && label != "" {
		if u := g.named["*."+parent]; u != nil {
			return u
		}
	}
	return g.other
}

// ErrNoName says that a client asks for no name that leads anywhere.
var ErrNoName = errors.New("the client asks for no known name")

// Lead returns the service for a connection, of which state is that of its TLS
// with us, or nil; or ErrNoName. If wait, the name that the client asks for must
// be known first, which a Naming awaits.
func (g *Gate) Lead(state *tls.ConnectionState) (u *Upstream, wait bool, err error) {
	switch {
	case state != nil:
		// As in a ClientHello that is read here; crypto/tls passes it on as it came.
		u = g.find(strings.ToLower(strings.TrimSuffix(state.ServerName, ".")))
	case len(g.named) > 0:
		return nil, true, nil
	default:
		u = g.other
	}
	if u == nil {
		return nil, false, ErrNoName
	}
	return u, false, nil
}

// Naming awaits the ClientHello of a connection that is not ours to decrypt.
type Naming struct {
	gate  *Gate
	found *Upstream
}

// NewNaming returns one.
func (g *Gate) NewNaming() *Naming { return &Naming{gate: g} }

// Limits bound how long a client may take. Who says nothing at all may be waiting
// for the server to speak first, as in MySQL, SMTP and SSH, and is led to the
// service for all others.
func (n *Naming) Limits() preface.Limits {
	whole := n.gate.listener.HandshakeTimeout()
	if n.gate.other == nil || n.gate.HelloWait < 0 {
		return preface.Limits{Silent: whole, Whole: whole}
	}
	return preface.Limits{Silent: n.gate.HelloWait, Whole: whole}
}

// Parse looks into what has come, as a preface.Parser. What is not TLS asks for
// no name.
func (n *Naming) Parse(b []byte) (content bool, err error) {
	hello, err := clienthello.Parse(b)
	switch {
	case errors.Is(err, clienthello.ErrShort):
		return false, nil
	case err != nil && !errors.Is(err, clienthello.ErrNotTLS):
		return false, err
	}
	if n.found = n.gate.find(hello.ServerName); n.found == nil {
		return false, ErrNoName
	}
	return true, nil
}

// Outcome returns the service for a client of which b has come, when waiting for
// it has ended by err, see preface; or why there is none.
func (n *Naming) Outcome(b []byte, err error) (*Upstream, error) {
	switch {
	case err == nil:
		return n.found, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && len(b) == 0 && n.gate.other != nil:
		return n.gate.other, nil
	}
	return nil, err
}

// Refuse counts and logs a connection that is led nowhere by err, and reports
// whether it is to be reset. One that has left without a word, as balancers do
// that look whether somebody listens, leaves no trace.
func (g *Gate) Refuse(client netip.Addr, err error) (reset bool) {
	switch {
	case errors.Is(err, preface.ErrLeft):
		return false
	case errors.Is(err, ErrNoName):
		g.listener.Reject(listen.NoRoute, client, err)
	default:
		g.listener.Reject(listen.TLSHandshake, client, err)
	}
	return true
}
