package listen

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Open is a connection of a client that is open, as it was found.
type Open struct {
	Client netip.AddrPort
	Since  time.Time
	// Service and Backend are whom it leads to, of HTTP whom its request in
	// progress does; empty if there is none.
	Service, Backend string
}

// EachConn calls f for every connection that AcceptConn returned and that is open,
// with what is known of it here. If f returns true, it is closed.
func (l *Listener) EachConn(f func(*Conn, Open) (cut bool)) {
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, c := range conns {
		if f(c, Open{Client: c.client, Since: c.since}) {
			c.Close()
		}
	}
}
