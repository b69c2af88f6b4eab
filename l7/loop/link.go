package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"sluice/l7/gate"
	"sluice/l7/h2"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
	"sluice/pkg/tcp"
)

// link is a connection of HTTP/2 to a backend, which the requests of a loop
// share, up to as many as the backend takes at once.
type link struct {
	sh      *shard
	svc     *gate.Service
	b       *backend.Backend
	session *h2.Session     // nil while it is being made
	socket  *reactor.Socket // while it is being made in the loop
	waiting []*upstream     // for it to be made
	cancel  context.CancelFunc
	begun   int64
	timer   reactor.Timer // of the connect
	ready   bool          // the backend has said how many requests it takes
	over    bool
}

const (
	// keepLink is for how long at least a connection is kept that no request
	// uses: servers of HTTP/2 expect it to be, and gRPC's to be asked nothing.
	keepLink = time.Minute
	// mostWaiting is how many requests wait for one connection to be made: as
	// many as a backend that has not said otherwise takes.
	mostWaiting = 100
)

var errNotAgreed = errors.New("l7: the backend does not agree on HTTP/2 (ALPN)")

// join returns a stream of a connection to b that there is, for x, or nil.
func (sh *shard) join(x *exchange, b *backend.Backend) *upstream {
	if len(sh.links) == 0 || !b.Target().Protocol.Multiplexed() {
		return nil
	}
	for _, k := range sh.links[b] {
		if k.session != nil && k.session.Room() > 0 {
			up := &upstream{sh: sh, svc: x.Service(), b: b, x: x, link: k, reused: true}
			x.up = up
			up.open()
			return up
		}
	}
	return nil
}

// open makes up a stream of its link, which has room.
func (up *upstream) open() {
	up.connecting = false
	st := up.link.session.Open()
	up.stream = st
	st.Handle(up)
}

// connectLink has up wait for a connection that is being made to its backend, or
// begins to make one.
func (sh *shard) connectLink(up *upstream, p backend.Protocol) {
	most := mostWaiting
	if known, ok := sh.most[up.b]; ok {
		most = min(most, max(1, known))
	}
	for _, k := range sh.links[up.b] {
		if !k.ready && len(k.waiting) < most {
			k.waiting = append(k.waiting, up)
			up.link = k
			return
		}
	}
	k := &link{sh: sh, svc: up.svc, b: up.b, begun: sh.l.Now(), waiting: []*upstream{up}}
	up.link = k
	sh.links[up.b] = append(sh.links[up.b], k)
	ctx, cancel := context.WithTimeoutCause(sh.s.closing, up.x.Limits().Connect, reactor.ErrConnectTimeout)
	k.cancel = cancel
	sh.l.After(&k.timer, up.x.Limits().Connect, k)
	if p.Secure() {
		k.connectTLS(ctx)
		return
	}
	if addr := k.b.AddrPort(); addr.IsValid() {
		k.connect(addr)
		return
	}
	go func() {
		addrs, err := k.b.Addresses(ctx)
		sh.l.Post(func() {
			switch {
			case k.over:
			case err == nil && len(addrs) == 0:
				k.failed(errors.New("l7: the backend's name has no address"))
			case err != nil:
				k.failed(err)
			default:
				k.connect(addrs[0])
			}
		})
	}()
}

// connect begins to connect in the loop.
func (k *link) connect(addr netip.AddrPort) {
	s, err := k.sh.l.Connect(addr)
	if err != nil {
		k.sh.l.Post(func() { k.failed(err) }) // who asks is not ready to hear of it
		return
	}
	k.socket = s
	s.Handle(k)
}

// Ready is told of the outcome of a connect.
func (k *link) Ready(reactor.Stream) {
	switch err := k.socket.Connected(); {
	case errors.Is(err, reactor.ErrAgain):
	case err != nil:
		k.failed(err)
	default:
		s := k.socket
		k.socket = nil
		k.made(s, false)
	}
}

// Expired is told that the connect took too long.
func (k *link) Expired(*reactor.Timer) {
	if s := k.session; s != nil { // it takes connections and says nothing
		k.failed(reactor.ErrConnectTimeout)
		s.Close()
		return
	}
	k.failed(reactor.ErrConnectTimeout)
}

// connectTLS makes the connection outside the loop.
func (k *link) connectTLS(ctx context.Context) {
	cfg := k.svc.TLSFor(k.b, "h2")
	go func() {
		c, err := dialTLS(ctx, k.b, cfg)
		if err == nil && c.ConnectionState().NegotiatedProtocol != agreedOn {
			c.Close()
			err = errNotAgreed
		}
		if !k.sh.l.Post(func() {
			switch {
			case err != nil:
				k.failed(err)
			case k.over:
				c.Close()
			default:
				k.made(k.sh.l.AdoptConn(c), true)
			}
		}) && err == nil {
			c.Close()
		}
	}()
}

// dialTLS makes a connection of TLS to b, at the first of its addresses that
// answers.
func dialTLS(ctx context.Context, b *backend.Backend, cfg *tls.Config) (*tls.Conn, error) {
	addrs := []netip.AddrPort{b.AddrPort()}
	if !addrs[0].IsValid() {
		var err error
		if addrs, err = b.Addresses(ctx); err != nil {
			return nil, err
		}
	}
	var d net.Dialer
	c, addr, err := backend.Race(ctx, addrs, func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", addr.String())
	}, func(c net.Conn) { c.Close() })
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	b.Reached(addr)
	tc := tls.Client(tcp.NewLine(c, nil), cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, causeOf(ctx, fmt.Errorf("TLS handshake: %w", err))
	}
	return tc, nil
}

// causeOf returns err, or that it took too long if that is why.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, reactor.ErrConnectTimeout) {
		return cause
	}
	return err
}

// made goes on with a connection that was made: those who wait get a stream each.
func (k *link) made(stream reactor.Stream, secure bool) {
	sh := k.sh
	if k.over {
		stream.Close()
		return
	}
	k.b.Conns.Open.Add(1)
	cfg := sh.s.cfg
	k.session = h2.Ask(stream, h2.Config{
		MaxHead: cfg.MaxResponseHead(), IdleTimeout: max(keepLink, k.svc.KeepIdle()), StallTimeout: cfg.BodyTimeout, Secure: secure,
	}, k)
}

// Changed is told that there is more or less room. With the backend's first word,
// those who wait get a stream each, or wait for another connection.
func (k *link) Changed() {
	if k.ready || k.session == nil || !k.session.Told() {
		return
	}
	sh := k.sh
	k.ready = true
	sh.most[k.b] = k.session.MaxStreams()
	sh.l.Stop(&k.timer)
	k.cancel()
	waiting := k.waiting
	k.waiting = nil
	for i, up := range waiting {
		x := up.x
		if k.over || k.session.Room() <= 0 {
			up.link = nil
			sh.connectLink(up, k.b.Target().Protocol)
			continue
		}
		sh.l.Stop(&up.timer)
		func() {
			defer x.c.guard()
			up.open()
			if i == 0 {
				x.connected(&upstream{begun: k.begun})
				return
			}
			up.reused = true
			x.took()
		}()
	}
}

// failed tells those who wait that no connection could be made.
func (k *link) failed(err error) {
	if k.over {
		return
	}
	k.end()
	waiting := k.waiting
	k.waiting = nil
	for _, up := range waiting {
		if x := up.x; x != nil {
			up.link = nil
			func() {
				defer x.c.guard()
				x.connectFailed(up, err)
			}()
		}
	}
}

// end forgets the link.
func (k *link) end() {
	k.over = true
	k.sh.l.Stop(&k.timer)
	k.cancel()
	if k.socket != nil {
		k.socket.Close()
		k.socket = nil
	}
	all := slices.DeleteFunc(k.sh.links[k.b], func(x *link) bool { return x == k })
	if len(all) == 0 {
		delete(k.sh.links, k.b)
	} else {
		k.sh.links[k.b] = all
	}
}

// left is told that up does not use the link any more, nor wait for it.
func (k *link) left(up *upstream) {
	up.link = nil
	if up.stream != nil {
		up.stream.Close()
		up.stream = nil
		return
	}
	k.waiting = slices.DeleteFunc(k.waiting, func(x *upstream) bool { return x == up })
}

// Request is for who serves.
func (k *link) Request(*h2.Stream) {}

// Ended is told that the connection is over.
func (k *link) Ended(h2.Code, error) {
	k.b.Conns.Open.Add(-1)
	if len(k.waiting) > 0 {
		k.failed(errors.New("l7: the backend closed its connection"))
	}
	if !k.over {
		k.end()
	}
}

// partFrom closes the connections of HTTP/2 to a backend that is none any more,
// as what is under way on them ends.
func (sh *shard) partFrom(b *backend.Backend) {
	delete(sh.most, b)
	for _, k := range slices.Clone(sh.links[b]) {
		if k.session != nil {
			k.session.Leave()
		}
	}
}

// closeLinks closes all connections of HTTP/2 to backends.
func (sh *shard) closeLinks() {
	for _, all := range sh.links {
		for _, k := range slices.Clone(all) {
			if k.session != nil {
				k.session.Close()
			} else {
				k.end()
			}
		}
	}
}

// connectTLS makes a connection of TLS that serves one request at a time.
func (up *upstream) connectTLS() {
	sh, b := up.sh, up.b
	ctx, cancel := context.WithTimeoutCause(sh.s.closing, up.x.Limits().Connect, reactor.ErrConnectTimeout)
	cfg := up.svc.TLSFor(b, "http/1.1")
	go func() {
		defer cancel()
		c, err := dialTLS(ctx, b, cfg)
		if !sh.l.Post(func() {
			x := up.x
			if x == nil { // it is over
				if err == nil {
					c.Close()
				}
				return
			}
			defer x.c.guard()
			if err != nil {
				x.connectFailed(up, err)
				return
			}
			b.Conns.Open.Add(1)
			sh.upstreams++
			up.stream = sh.l.AdoptConn(c)
			up.stream.Handle(up)
			up.established()
		}) && err == nil {
			c.Close()
		}
	}()
}
