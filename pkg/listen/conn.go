package listen

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Conn is an accepted connection. Its TCPConn may be used directly for
// reading and writing; Close must be called on the Conn.
type Conn struct {
	*net.TCPConn
	l      *Listener
	client netip.AddrPort
	place  Place
	since  time.Time
	closed atomic.Bool
}

// Client returns the client's address, an IPv4 one as such.
func (c *Conn) Client() netip.AddrPort { return c.client }

// Close closes the connection and gives its place under the cap back. Only
// the first call counts.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	err := c.TCPConn.Close()
	c.l.forget(c)
	return err
}

// Detach returns the connection below, for somebody who serves it from now on, and
// closes it. Close still gives the place back, and CloseConns knows it no more.
func (c *Conn) Detach() (*net.TCPConn, error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if _, there := c.l.conns[c]; !there {
		return nil, net.ErrClosed
	}
	delete(c.l.conns, c)
	return c.TCPConn, nil
}

// enter counts tc in, or closes it and returns nil if that exceeds a limit.
func (l *Listener) enter(tc *net.TCPConn) *Conn {
	client := addrPortOf(tc.RemoteAddr())
	place, ok := l.admit(client.Addr())
	if !ok {
		tc.Close()
		return nil
	}
	c := &Conn{TCPConn: tc, l: l, client: client, place: place, since: time.Now()}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	l.Leave(c.place)
}

// CloseConns closes every open connection that AcceptConn returned, or that is
// not served yet, and returns how many there were.
func (l *Listener) CloseConns() int {
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	entrances := slices.Collect(maps.Keys(l.entrances))
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	for _, e := range entrances {
		e.arrival.Stream.Loop().Post(e.close)
	}
	return len(conns) + len(entrances)
}
