package engine

import (
	"context"
	"log/slog"
	"net"
	"time"

	"sluice/pkg/handover"
)

// offered is what a successor asks by for the socket of a listener.
func offered(kind, addr string) string { return kind + " " + addr }

// Offers returns the sockets of all listeners, for a successor, and a function
// that takes the offer back.
func (e *Engine) Offers() (offers []handover.Offer, withdraw func(), err error) {
	var copies []*net.TCPListener
	withdraw = func() {
		for _, c := range copies {
			c.Close()
		}
	}
	for _, f := range e.fronts.list() {
		c, err := f.listener.Socket()
		if err != nil {
			withdraw()
			return nil, nil, err
		}
		copies = append(copies, c)
		offers = append(offers, handover.Offer{Name: offered(f.kind, f.listener.Address()), Socket: c, Kept: f.listener.Kept()})
	}
	for _, s := range e.plane.servers {
		if s.server.Listener() == nil {
			continue // of a unix socket, whose name the successor takes
		}
		offers = append(offers, handover.Offer{Name: offered(s.name, s.addr), Socket: s.server.Listener(), Kept: s.kept})
	}
	return offers, withdraw, nil
}

// HandOver ends service once a successor has the sockets and accepts from them:
// at once nothing is accepted any more, and connections end when they end, those
// of HTTP with the response to come. After --handover-timeout, or --drain-timeout
// from the end of hurry on, or when ctx ends, it cuts those that are left and
// returns how many they were.
func (e *Engine) HandOver(ctx, hurry context.Context) (cut int) {
	begin := time.Now()
	c := e.services.config.Load()
	e.halt()
	e.registrars.abandon()
	e.life.set(draining)
	e.plane.shutdown() // its addresses are the successor's
	e.fronts.drain()
	for _, f := range e.fronts.list() {
		f.listener.Keep()
		f.listener.Close()
	}
	e.logger.Info("handed over: connections may finish", "stage", "finish", "limit", c.HandoverTimeout, "open", e.fronts.open())
	limit, done := context.WithTimeout(ctx, c.HandoverTimeout)
	defer done()
	defer context.AfterFunc(hurry, func() { time.AfterFunc(c.DrainTimeout, done) })()

	// Connections without a request, too: their clients may be about to send one.
	// They end by --l7-idle-timeout.
	quiet, settled := context.WithTimeout(limit, c.DrainDelay+c.L7IdleTimeout)
	defer context.AfterFunc(hurry, settled)()
	for _, f := range e.fronts.list() {
		_ = f.listener.Wait(quiet)
	}
	settled()
	cut = e.fronts.shutdown(limit)
	level := slog.LevelInfo
	if cut > 0 {
		level = slog.LevelWarn
	}
	e.logger.Log(ctx, level, "handed over: done", "stage", "done", "cut", cut, "after", time.Since(begin))
	return cut
}

// Stuck reports whether an event loop has been in one turn for long, so that what
// it serves stands still.
func (e *Engine) Stuck() bool {
	return e.fronts.loops.running() != nil && e.fronts.loops.running().Stuck() > 0
}
