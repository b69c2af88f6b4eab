package l4

import (
	"errors"
	"io"
	"net"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/listen"
	"sluice/pkg/relay"
)

// The copy driver: a goroutine for each connection walks it from accept to
// record, and pkg/relay moves the bytes. It runs everywhere and is the plain
// reference that the epoll driver is held against.

func (s *Server) serveCopy() error {
	for {
		c, err := s.ln.AcceptConn()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go s.handle(c)
	}
}

// handle walks one connection from accept to its service.
func (s *Server) handle(client *listen.Conn) {
	start := time.Now()
	setUserTimeout(client.TCPConn, s.cfg.UserTimeout)
	g, err := client.Handshake(s.closing)
	if err != nil {
		return
	}
	defer client.Close()
	svc, read := s.routes.other, g.Read
	if s.routes.byName() {
		svc, read, err = s.awaitHello(client, read)
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.Is(err, errNoName):
			s.ln.Reject(listen.NoRoute, g.Client.Addr(), err)
		case err != nil:
			s.ln.Reject(listen.TLSHandshake, g.Client.Addr(), err)
		}
		if err != nil {
			_ = client.SetLinger(0)
			return
		}
	}
	s.lead(svc, client, &record{client: g.Client, tries: &tries{}}, start, g, read)
}

// lead walks a connection from its service to record. read is what its client
// has sent already.
func (s *Server) lead(svc *service, client *listen.Conn, rec *record, start time.Time, g *listen.Guest, read []byte) {
	svc.metrics.active.Inc()
	defer svc.metrics.active.Dec()
	defer func() { s.record(svc, rec, time.Since(start), s.cfg.Pauses.Since(start) > 0) }()

	server, b, reason := s.dial(svc, rec, client)
	if b == nil {
		rec.reason = reason
		// Nothing was exchanged; the client learns of the failure by a reset
		// rather than by an answer that ends before it began.
		_ = client.SetLinger(0)
		return
	}
	defer b.Release()
	defer server.Close()
	entry := s.enter(svc, b, client)
	defer s.leave(entry)

	if first := append(svc.proxyHeader(nil, g.Client, g.Local), read...); len(first) > 0 {
		if _, err := server.Write(first); err != nil {
			_ = client.SetLinger(0)
			rec.reason = BackendReset
			return
		}
		svc.count(b, int64(len(read)), 0)
	}
	res := relay.Copy(client.TCPConn, server, relay.Config{
		Idle:     svc.IdleTimeout,
		FIN:      svc.FINTimeout,
		Progress: func(in, out int64) { svc.count(b, in, out) },
	})
	rec.in, rec.out, rec.reason = res.In+int64(len(read)), res.Out, reasonOf(res.End)
	if evicted := entry.evicted.Load(); evicted != nil && rec.reason == Draining {
		rec.reason = *evicted
	}
}

// enter notes that client is relayed to b, so that it can be evicted.
func (s *Server) enter(svc *service, b *backend.Backend, client *listen.Conn) *relayed {
	e := &relayed{to: destination{svc, b.Addr()}, client: client}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relayed[e.to] == nil {
		s.relayed[e.to] = make(map[*relayed]struct{})
	}
	s.relayed[e.to][e] = struct{}{}
	return e
}

func (s *Server) leave(e *relayed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.relayed[e.to], e); len(s.relayed[e.to]) == 0 {
		delete(s.relayed, e.to)
	}
}
