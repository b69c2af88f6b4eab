package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"

	"sluice/pkg/preface"
	"sluice/pkg/reactor"
)

// Arrival is a connection that is ready to be served in a loop.
type Arrival struct {
	// Stream is the connection. Whoever serves it closes it, and then gives
	// Place back.
	Stream reactor.Stream
	Place  Place
	// Client is who connected and Local what to, as the PROXY header says if
	// there is one; Local is not valid if there is none. IPv4 addresses are
	// such.
	Client, Local netip.AddrPort
	// ProxyTLS reports that the PROXY header says that the client uses TLS with
	// the proxy.
	ProxyTLS bool
	// TLS is the state of the handshake; nil without TLS.
	TLS *tls.ConnectionState
	// Read is what the client has sent already. It is valid until the function
	// that got the Arrival returns.
	Read []byte
}

// Serve accepts connections, within the limits, and calls f for each, in the
// loop of g that it will live in, once the PROXY header and the TLS handshake
// that are due are over. It returns nil when the listener is closed;
// handshakes that are under way end with ctx.
//
// Plain connections are accepted by the loops themselves, where the system has
// sockets of theirs. The others take a goroutine until they are ready.
func (l *Listener) Serve(ctx context.Context, g *reactor.Group, f func(Arrival)) error {
	if l.cfg.TLS == nil && reactor.HasSockets {
		return l.serveLoops(g, f)
	}
	for {
		c, err := l.AcceptConn()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			guest, err := c.Handshake(ctx)
			if err != nil {
				return
			}
			loop := g.Least()
			if !loop.Post(func() {
				(&handed{l: l}).hand(Arrival{Stream: loop.AdoptConn(guest.Conn), Client: guest.Client, Local: guest.Local, ProxyTLS: guest.ProxyTLS, TLS: guest.TLS, Read: guest.Read}, f)
			}) {
				guest.Conn.Close()
			}
		}()
	}
}

// handed is the handler of a stream that is on its way to who serves it. It can
// be used again when that has it: one is enough for those that a loop accepts.
type handed struct {
	l     *Listener
	place Place
}

// hand gives a to f. Until f has made somebody else the handler of the stream,
// which it does or closes it, a panic gives the place back.
func (h *handed) hand(a Arrival, f func(Arrival)) {
	h.place = a.Place
	a.Stream.Handle(h)
	a.Stream.Loop().Guard(a.Stream, func() { f(a) })
}

// Ready is not called: the loop is busy with the stream.
func (h *handed) Ready(reactor.Stream) {}

// Panicked gives back what a panic would have kept.
func (h *handed) Panicked() { h.l.Leave(h.place) }

// arrive serves a socket that was accepted in its loop, whose h is.
func (l *Listener) arrive(s *reactor.Socket, peer netip.AddrPort, place Place, h *handed, f func(Arrival)) {
	a := Arrival{Stream: s, Client: peer, Place: place}
	if !l.ExpectsHeader(peer.Addr()) {
		h.hand(a, f)
		return
	}
	e := &entrance{l: l, arrival: a, f: f, header: header{versions: l.cfg.Proxy.Versions}}
	l.mu.Lock()
	l.entrances[e] = struct{}{}
	l.mu.Unlock()
	s.Loop().Guard(s, func() { e.awaiting = preface.Await(s, nil, l.headerLimits(), e.header.parse, e) })
}

// entrance is where a connection waits for its PROXY header.
type entrance struct {
	l        *Listener
	arrival  Arrival
	f        func(Arrival)
	awaiting *preface.Awaiting
	header   header
	left     bool
}

// Understood lets the connection in if its header has come.
func (e *entrance) Understood(b []byte, err error) {
	a := &e.arrival
	switch {
	case errors.Is(err, preface.ErrLeft):
		e.close()
		return
	case err != nil:
		e.l.Reject(ProxyHeader, a.Client.Addr(), err)
		e.close()
		return
	}
	if h := &e.header; h.namesClient() {
		a.Client, a.Local = h.Source, h.Destination
		a.ProxyTLS = h.ClientTLS()
	}
	if !e.l.admitClient(&a.Place, a.Client.Addr()) {
		e.close()
		return
	}
	e.leave()
	a.Read = b[e.header.size:]
	(&handed{l: e.l}).hand(*a, e.f)
}

// Panicked gives back what a panic would have kept.
func (e *entrance) Panicked() { e.close() }

// leave ends the wait.
func (e *entrance) leave() {
	e.left = true
	e.l.mu.Lock()
	delete(e.l.entrances, e)
	e.l.mu.Unlock()
}

// close turns the connection away.
func (e *entrance) close() {
	if e.left {
		return
	}
	e.leave()
	if e.awaiting != nil {
		e.awaiting.Stop()
	}
	e.arrival.Stream.Close()
	e.l.Leave(e.arrival.Place)
}
