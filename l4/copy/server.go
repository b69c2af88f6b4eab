package copy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"sluice/l4"
	"sluice/pkg/attempt"
	"sluice/pkg/dial"
	"sluice/pkg/listen"
	"sluice/pkg/preface"
	"sluice/pkg/tcp"
)

// Server balances the connections of one listener, with goroutines.
type Server struct {
	gate   *l4.Gate
	dialer dial.Dialer
	relays relays

	// closing ends when the connections that are left are cut; dials in
	// progress end with it.
	closing context.Context
	cut     context.CancelFunc
}

var _ l4.Server = (*Server)(nil)

// New returns a Server for ln. It starts nothing.
func New(ln *listen.Listener, cfg l4.Config) *Server {
	s := &Server{gate: l4.New(ln, cfg), relays: relays{to: make(map[l4.Destination]map[*relay]*walk)}}
	s.dialer.UserTimeout = cfg.UserTimeout
	s.closing, s.cut = context.WithCancel(context.Background())
	s.gate.Follow(s.evict)
	return s
}

// Serve accepts and balances connections; see l4.Server.
func (s *Server) Serve() error {
	for {
		c, err := s.gate.Listener().AcceptConn()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go s.handle(c)
	}
}

// Shutdown stops accepting, waits, and cuts what is left; see l4.Server.
func (s *Server) Shutdown(ctx context.Context) (cut int) {
	return s.gate.Shutdown(ctx, func() {
		s.cut()
		s.relays.stop(l4.Draining)
	})
}

// walk is one connection on its walk. Its goroutine owns it.
type walk struct {
	s      *Server
	start  time.Time
	conn   *listen.Conn  // the client's connection, and its place
	guest  *listen.Guest // who it is; guest.Conn is conn, or TLS upon it
	ticket l4.Ticket
	plan   attempt.Plan
	woken  chan struct{} // told that a slot may be free, be it before the plan says to wait
	read   []byte        // what has come of the client already
	ending l4.Ending
}

// handle walks a connection from accept to record.
func (s *Server) handle(c *listen.Conn) {
	w := &walk{s: s, start: time.Now(), conn: c, woken: make(chan struct{}, 1), ticket: s.gate.Ticket(c.Client())}
	defer w.close()
	defer w.recover()
	tcp.SetUserTimeout(c.TCPConn, s.gate.UserTimeout)
	var err error
	if w.guest, err = c.Handshake(s.closing); err != nil {
		return
	}
	w.ticket.Client = w.guest.Client
	up, err := w.lead()
	if err != nil {
		if s.gate.Refuse(w.ticket.Client.Addr(), err) {
			w.reset()
		}
		return
	}
	w.ticket.Enter(up, &w.plan, w)
	defer w.leave()
	w.ending.Reason = l4.InternalError // unless we get to say something else
	server, reason := w.dial()
	if server == nil {
		w.ending.Reason = reason
		return
	}
	w.relay(server)
}

// lead returns the service that the client is led to.
func (w *walk) lead() (*l4.Upstream, error) {
	w.read = w.guest.Read
	up, wait, err := w.s.gate.Lead(w.guest.TLS)
	if !wait {
		return up, err
	}
	n := w.s.gate.NewNaming()
	w.read, err = preface.Read(w.s.closing, w.conn, w.read, n.Limits(), n.Parse)
	return n.Outcome(w.read, err)
}

// relay moves the bytes, both ways, until both have ended.
func (w *walk) relay(server net.Conn) {
	defer func() {
		if r := w.ending.Reason; r == l4.ClientReset || r == l4.InternalError {
			server = tcp.Break(server)
		}
		server.Close()
	}()
	up, client := w.ticket.Upstream(), w.guest.Conn
	var header []byte
	if up.TLS == nil { // through TLS, the attempt has sent it
		header = w.header()
	}
	if w.guest.TLS == nil {
		client = w.conn.TCPConn // by itself it can be spliced
	}
	r := newRelay(client, server, relayConfig{
		Idle: up.IdleTimeout, FIN: up.FINTimeout, Header: header, Read: w.read,
		Progress: w.ticket.Count, Unanswered: w.ticket.Unanswered,
	})
	to := w.ticket.Destination()
	w.s.relays.enter(to, r, w)
	defer w.s.relays.leave(to, r)
	moved := r.run()
	w.ending.In, w.ending.Out, w.ending.Reason = moved.In, moved.Out, moved.Reason
}

// header returns the PROXY header for the backend.
func (w *walk) header() []byte {
	return w.ticket.Header(func() netip.AddrPort { return w.guest.Local }, w.guest.TLS)
}

// leave records the connection.
func (w *walk) leave() {
	w.plan.Leave()
	w.ending.Duration = time.Since(w.start)
	w.ending.Stalled = w.s.gate.Pauses.Since(w.start) > 0
	w.ticket.Leave(w.ending)
	if r := w.ending.Reason; r == l4.BackendReset || r.Unserved() {
		w.reset()
	}
}

// reset makes the client see its connection break.
func (w *walk) reset() { tcp.Break(w.conn).Close() }

// close closes the client's connection, unless it was reset: TLS says goodbye
// first.
func (w *walk) close() {
	if w.guest != nil {
		w.guest.Conn.Close()
	}
	w.conn.Close()
}

// recover ends the connection after a defect of ours, and no other one.
func (w *walk) recover() {
	if p := recover(); p != nil {
		w.s.gate.Logger.Error("panic in a connection", "listener", "l4", "panic", p, "stack", string(debug.Stack()))
	}
}
