package loop

import (
	"time"

	"sluice/pkg/listen"
)

// Open calls f for every connection of a client that is open, in its loop. If f
// returns true, the connection is cut. f must be quick.
func (s *Server) Open(f func(listen.Open) (cut bool)) {
	s.each(func(sh *shard) {
		for c := sh.first; c != nil; {
			next := c.next
			o := listen.Open{Client: c.client.Addr, Since: sh.l.Time().Add(-time.Duration(sh.l.Real() - c.born))}
			if c.x != nil {
				if svc := c.x.Service(); svc != nil {
					o.Service = svc.Name()
				}
				if b := c.x.Backend(); b != nil {
					o.Backend = b.Addr()
				}
			}
			if f(o) {
				c.cut()
			}
			c = next
		}
	})
}
