package epoll

import (
	"net/netip"
	"time"

	"sluice/l4"
	"sluice/pkg/chain"
	"sluice/pkg/listen"
	"sluice/pkg/preface"
	"sluice/pkg/pump"
	"sluice/pkg/reactor"
	"sluice/pkg/tcp"
)

// session is one connection on its walk. It belongs to the loop that its client
// was accepted in, until it moves, and so does its connection to the backend;
// nothing in it is touched by anybody else.
type session struct {
	s      *Server
	l      *reactor.Loop
	link   chain.Link[*session]
	ticket l4.Ticket
	place  listen.Place

	client, server reactor.Stream  // server is nil until established
	local          *netip.AddrPort // what the client connected to, if it is not the socket's word
	naming         *naming         // nil once the service is known
	dialing        *dialing        // nil until then, and once established or ended
	ended          bool

	pair  pump.Pair
	start int64         // when it began, in the loop's real time
	began int64         // the same, in the loop's time
	since int64         // when it came to its loop, in the loop's real time
	timer reactor.Timer // the connects', then the idle time's
	flush reactor.Timer // the hedge's, then set while there are bytes not counted yet
}

// naming is a session's wait for the name that its client asks for.
type naming struct {
	*l4.Naming
	x        *session
	awaiting *preface.Awaiting
}

// welcome begins a session; it runs in the loop that the session will live in.
func (s *Server) welcome(a listen.Arrival) {
	x := &session{s: s, l: a.Stream.Loop(), client: a.Stream, place: a.Place, ticket: s.gate.Ticket(a.Client)}
	x.start, x.since, x.began, x.link.Of = x.l.Real(), x.l.Real(), x.l.Now(), x
	if a.Local.IsValid() {
		local := a.Local
		x.local = &local
	}
	if t := s.gate.UserTimeout; t > 0 {
		setUserTimeout(a.Stream, t)
	}
	x.list().unled.AddFirst(&x.link)
	x.client.Handle(x)
	switch up, wait, err := s.gate.Lead(a.TLS); {
	case err != nil:
		x.refuse(err)
	case wait:
		x.naming = &naming{Naming: s.gate.NewNaming(), x: x}
		// The outcome may be there before this returns.
		awaiting := preface.Await(x.client, a.Read, x.naming.Limits(), x.naming.Parse, x.naming)
		if x.naming != nil {
			x.naming.awaiting = awaiting
		}
	default:
		x.lead(up, a.Read)
	}
}

func setUserTimeout(s reactor.Stream, d time.Duration) {
	switch s := s.(type) {
	case interface{ SetUserTimeout(time.Duration) }:
		s.SetUserTimeout(d)
	case *reactor.Conn:
		tcp.SetUserTimeout(s.NetConn(), d)
	}
}

// Understood goes on with a session whose client has named a service, or has not.
func (n *naming) Understood(b []byte, err error) {
	x := n.x
	x.naming = nil
	x.client.Handle(x)
	if up, err := n.Outcome(b, err); err != nil {
		x.refuse(err)
	} else {
		x.lead(up, b)
	}
}

// Panicked ends the session after a defect of ours.
func (n *naming) Panicked() { n.x.Panicked() }

// refuse ends a session that is led nowhere, which the listener counts.
func (x *session) refuse(err error) {
	if x.s.gate.Refuse(x.ticket.Client.Addr(), err) {
		x.client.Reset()
	}
	x.end(l4.ClientEOF)
}

// lead leads the session to a backend of up, which gets read before all else.
func (x *session) lead(up *l4.Upstream, read []byte) {
	x.pair.Up.Hold(read)
	x.dialing = x.list().newDialing(x)
	x.ticket.Enter(up, x.dialing.plan, x)
	x.l.After(&x.timer, x.s.gate.ConnectDeadline, x)
	x.act(x.dialing.plan.Begin(x.l.Now()))
}

// Ready is the handler of both streams, but while a name is awaited. Until there
// are both, the client's bytes stay in the kernel.
func (x *session) Ready(reactor.Stream) {
	switch {
	case x.ended:
	case x.dialing != nil:
		if x.readQueued(); !x.ended && x.client.Broken() {
			x.end(l4.ClientReset)
		}
	case !x.settle():
		x.move()
	}
}

// Expired is the alarm of both timers.
func (x *session) Expired(t *reactor.Timer) {
	switch d := x.dialing; {
	case t == &x.timer && d != nil:
		x.overdue()
	case t == &x.timer:
		x.checkIdle()
	case d != nil:
		x.act(d.plan.Slow())
	default:
		x.countLate()
	}
}
