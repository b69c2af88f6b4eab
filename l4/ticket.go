package l4

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"time"

	"sluice/pkg/attempt"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
	"sluice/pkg/proxyproto"
)

// Ticket is one connection's way from its service to its record. Its driver
// owns it and uses it from one goroutine, or one loop, but for Count. Established
// connections are many and live long, so it is small.
type Ticket struct {
	Client netip.AddrPort // who connected

	gate    *Gate
	up      *Upstream        // nil until Enter
	plan    *attempt.Plan    // nil once established, if there is nothing to tell of it
	backend *backend.Backend // whose slot is held; nil before Established
	connect time.Duration    // how long it took to connect to it
}

// Ticket returns the ticket of a connection from client.
func (g *Gate) Ticket(client netip.AddrPort) Ticket { return Ticket{Client: client, gate: g} }

// Enter leads the connection to a service. How it gets a backend is planned in
// memory of the driver's, which it may use for something else once Established
// says so. Leave must be called in the end.
func (t *Ticket) Enter(u *Upstream, plan *attempt.Plan, w attempt.Waker) {
	t.up, t.plan = u, plan
	*plan = attempt.New(&u.terms, w, balance.HashAddr(t.Client.Addr()))
	u.metrics.active.Inc()
}

// Upstream returns the service, nil before Enter.
func (t *Ticket) Upstream() *Upstream { return t.up }

// Backend returns whose slot is held, nil before Established.
func (t *Ticket) Backend() *backend.Backend { return t.backend }

// Destination returns where the connection leads, once it is established.
func (t *Ticket) Destination() Destination { return Destination{t.up, t.backend.Addr()} }

// Header returns the PROXY header for the backend, if it wants one, with the
// client's certificate if it has shown one, in its TLS with us, and there is a
// place for it. It asks for what the client has connected to if it must know.
func (t *Ticket) Header(local func() netip.AddrPort, client *tls.ConnectionState) []byte {
	if t.up.ProxyOut == 0 {
		return nil // and nobody asks the system for the client's local address
	}
	header := proxyproto.Append(nil, t.up.ProxyOut, proxyproto.Proxy, t.Client, local())
	if client == nil || len(client.PeerCertificates) == 0 {
		return header
	}
	return proxyproto.AppendSSL(header, proxyproto.SSL{
		Version:    strings.ReplaceAll(tls.VersionName(client.Version), "TLS ", "TLSv"),
		CommonName: client.PeerCertificates[0].Subject.CommonName,
	})
}

// Established notes that a connection to b stands, whose slot is the ticket's
// from now on. It returns true if the plan may be used for something else.
func (t *Ticket) Established(b *backend.Backend, took time.Duration) (planIsFree bool) {
	t.backend, t.connect = b, took
	t.up.metrics.connectSeconds.Update(took.Seconds())
	b.Observe(took, backend.Well)
	b.Counters.Connections.Add(1)
	if !t.plan.Plain() {
		return false
	}
	planIsFree = !t.plan.Shared()
	t.plan = nil
	return planIsFree
}

// Count adds bytes that the backend (in) and the client (out) have taken to the
// counters. It is safe for concurrent use.
func (t *Ticket) Count(in, out int64) {
	if in > 0 {
		t.backend.Counters.BytesIn.Add(uint64(in))
		t.up.metrics.bytesIn.AddInt64(in)
	}
	if out > 0 {
		t.backend.Counters.BytesOut.Add(uint64(out))
		t.up.metrics.bytesOut.AddInt64(out)
	}
}

// Unanswered notes that the client has sent something for a while, and the
// backend nothing.
func (t *Ticket) Unanswered() { t.backend.ReportUnanswered(t.Client.Addr()) }

// GaveUp returns why the plan has found no backend.
func (t *Ticket) GaveUp() Reason {
	switch t.plan.Found() {
	case attempt.Unreachable:
		return DialFailed
	case attempt.NoSlot:
		return Limit
	case attempt.Closed:
		return Maintenance
	}
	return NoBackend
}

// Ending is how a connection ended.
type Ending struct {
	Reason   Reason
	In, Out  int64         // bytes that the backend and the client have taken
	Duration time.Duration // of the connection
	// Stalled says that sluice did not run for a while in its life, so that the
	// backend may have given up for that.
	Stalled bool
}

// Leave gives the slot back and records the connection, whatever came of it.
func (t *Ticket) Leave(e Ending) {
	if t.backend != nil {
		t.backend.Release()
	}
	t.up.metrics.active.Dec()
	t.record(e)
}
