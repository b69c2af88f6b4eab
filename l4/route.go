package l4

import (
	"errors"
	"strings"
	"time"

	"sluice/pkg/clienthello"
)

// Route leads connections to a service.
type Route struct {
	// Name is the name that TLS clients ask for, exactly or as "*.example.com"
	// for one label more, in lower case; "" is any other, and all connections
	// of a listener that has no other routes.
	Name    string
	Service Service
}

// routes are the services of a listener by name.
type routes struct {
	named map[string]*service
	other *service // nil: whoever asks for no known name is refused
}

// byName reports whether the name that a client asks for must be known.
func (r *routes) byName() bool { return len(r.named) > 0 }

// find returns the service for a name, or nil. The exact name wins over a
// wildcard.
func (r *routes) find(name string) *service {
	if s := r.named[name]; s != nil {
		return s
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		if s := r.named["*."+parent]; s != nil {
			return s
		}
	}
	return r.other
}

// all calls f for every service.
func (r *routes) all(f func(*service)) {
	for _, s := range r.named {
		f(s)
	}
	if r.other != nil {
		f(r.other)
	}
}

// helloWait is how long a client may take to send a ClientHello, of which
// something has come or nothing. Who says nothing at all may be waiting for the
// server to speak first, as in MySQL, SMTP and SSH, and is led to the service
// for all others.
func (s *Server) helloWait(begun bool) time.Duration {
	whole := s.ln.HandshakeTimeout()
	if begun || s.routes.other == nil || s.cfg.HelloWait < 0 {
		return whole
	}
	return min(whole, s.cfg.HelloWait)
}

var errNoName = errors.New("the client asks for no known name")

// lookInto returns the service for a connection that begins with b, as far as
// it has come. clienthello.ErrShort asks for more. What is not TLS asks for no
// name.
func (r *routes) lookInto(b []byte) (*service, error) {
	hello, err := clienthello.Parse(b)
	if err != nil && !errors.Is(err, clienthello.ErrNotTLS) {
		return nil, err
	}
	if s := r.find(hello.ServerName); s != nil {
		return s, nil
	}
	return nil, errNoName
}
