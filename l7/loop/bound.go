package loop

import (
	"slices"

	"sluice/l7/gate"
)

// A connection to a backend on which somebody has authenticated, by a scheme
// that authenticates connections (http1.BindsConnection), is that somebody's: it
// serves the client's connection that it was used on, and nobody else, and the
// requests that follow there are sent on it, until either ends.

// bind keeps up for the requests to come on c. Its backend may close it; no
// timer of ours does while c is open.
func (c *conn) bind(up *upstream) {
	up.x, up.owner = nil, c
	if up.stream.Readable() && !up.quiet() {
		up.owner = nil
		up.close()
		return
	}
	c.bound = append(c.bound, up)
}

// boundTo returns the connection that is bound to c and leads to svc, and takes
// it out, or nil.
func (c *conn) boundTo(svc *gate.Service) *upstream {
	for _, up := range c.bound {
		if up.svc == svc {
			c.unbind(up)
			return up
		}
	}
	return nil
}

func (c *conn) unbind(up *upstream) {
	up.owner = nil
	c.bound = slices.DeleteFunc(c.bound, func(x *upstream) bool { return x == up })
}

// closeBound closes what is bound to c.
func (c *conn) closeBound() {
	for _, up := range c.bound {
		up.owner = nil
		up.close()
	}
	c.bound = nil
}
