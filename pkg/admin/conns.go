package admin

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// conns bounds the connections of a server, so that it takes no more
// descriptors than are kept for it. A new one beyond the bound takes the place of
// the one that has waited longest for a request, and is closed itself if none
// does: whoever probes is served although others hold connections.
type conns struct {
	most int

	// mu protects the fields below.
	mu      sync.Mutex
	open    map[net.Conn]bool
	waiting []net.Conn // for a request, the longest first
}

// track is for http.Server.ConnState.
func (c *conns) track(conn net.Conn, state http.ConnState) {
	if victim := c.change(conn, state); victim != nil {
		victim.Close()
	}
}

// change takes note of a connection's state and returns the one to close, nil
// for none.
func (c *conns) change(conn net.Conn, state http.ConnState) (victim net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.waiting, conn); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	case http.StateNew:
		c.open[conn] = true
		if len(c.open) > c.most {
			victim = conn
			if len(c.waiting) > 0 {
				victim = c.waiting[0]
			}
		}
		c.waiting = append(c.waiting, conn)
	case http.StateIdle:
		c.waiting = append(c.waiting, conn)
	}
	return victim
}
