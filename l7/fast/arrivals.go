package fast

import (
	"io"
	"net"
	"sync"
)

// arrivals is the listener that fasthttp.Server serves: it hands out
// connections that were accepted and shook hands, and those that were parked
// when a request has begun. There are never more than the listener below
// admits, so putting one in waits for nobody.
type arrivals struct {
	addr net.Addr

	// mu protects the fields below.
	mu     sync.Mutex
	some   sync.Cond // that list is not empty, or closed
	list   []*conn
	closed bool
}

func newArrivals(addr net.Addr) *arrivals {
	a := &arrivals{addr: addr}
	a.some.L = &a.mu
	return a
}

// put hands c to fasthttp. It does not block.
func (a *arrivals) put(c *conn) {
	a.mu.Lock()
	a.list = append(a.list, c)
	a.mu.Unlock()
	a.some.Signal()
}

// Accept waits for the next connection. Its error is io.EOF.
func (a *arrivals) Accept() (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.list) == 0 {
		if a.closed {
			return nil, io.EOF
		}
		a.some.Wait()
	}
	c := a.list[0]
	a.list[0] = nil
	if a.list = a.list[1:]; len(a.list) == 0 {
		a.list = nil
	}
	return c, nil
}

// Close ends Accept once it has handed out what there is.
func (a *arrivals) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.some.Broadcast()
	return nil
}

// Addr returns the address of the listener below.
func (a *arrivals) Addr() net.Addr { return a.addr }
