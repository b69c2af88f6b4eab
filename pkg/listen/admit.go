package listen

import (
	"net/netip"
	"time"

	"sluice/pkg/limit"
)

// Place is a connection's place under the limits of its listener. The zero
// value is none.
type Place struct {
	client *netip.Addr // nil if the client is not tracked
	held   bool
}

// admit gives a new connection from peer a place, or reports false if that
// exceeds a limit; the connection must then be closed. Leave gives the place
// back. If ExpectsHeader, the limits for clients are left to admitClient.
func (l *Listener) admit(peer netip.Addr) (p Place, ok bool) {
	l.arrived.Add(1)
	l.mu.Lock()
	full, why := l.cfg.MaxConns > 0 && l.open >= l.cfg.MaxConns, MaxConns
	if !full && !l.share.take() {
		full, why = true, OpenFiles
	}
	if !full && !l.memory.take() {
		l.share.give()
		full, why = true, Memory
	}
	if !full {
		l.open++
		l.active.Inc()
	}
	l.mu.Unlock()
	if full {
		l.Reject(why, peer, nil)
		return p, false
	}
	p.held = true
	if !l.ExpectsHeader(peer) && !l.admitClient(&p, peer) {
		l.Leave(p)
		return p, false
	}
	l.accepted.Inc()
	return p, true
}

// ExpectsHeader reports whether a connection from peer begins with a header of
// the PROXY protocol, which says who the client is.
func (l *Listener) ExpectsHeader(peer netip.Addr) bool { return l.cfg.Proxy.Expects(peer) }

// LimitClients changes how many connections one client address may have open and
// may open a second, of a listener that was bound with such limits; 0 means no
// limit. Connections that are open stay.
func (l *Listener) LimitClients(maxConns int, perSecond float64) {
	if l.clients != nil {
		l.clients.Set(maxConns, perSecond)
	}
}

// ClientLimits returns these limits.
func (l *Listener) ClientLimits() (maxConns int, perSecond float64) {
	if l.clients == nil {
		return 0, 0
	}
	return l.clients.Bounds()
}

// admitClient enters client into the place of its connection, or reports false
// if that exceeds a limit.
func (l *Listener) admitClient(p *Place, client netip.Addr) bool {
	if l.clients == nil || p.client != nil {
		return true
	}
	switch l.clients.Enter(client, time.Now()) {
	case limit.ClientTooMany:
		l.Reject(ClientConns, client, nil)
		return false
	case limit.ClientTooFast:
		l.Reject(ClientRate, client, nil)
		return false
	case limit.ClientNotTracked:
		return true // there is nothing for Leave to give back
	}
	entered := client // client itself would be on the heap, limits or none
	p.client = &entered
	return true
}

// Leave gives back the place of a connection that has ended.
func (l *Listener) Leave(p Place) {
	if !p.held {
		return
	}
	if p.client != nil {
		l.clients.Leave(*p.client)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.active.Dec()
	l.share.give()
	l.memory.give()
	l.leaveBudget()
	l.signalEmpty()
}
