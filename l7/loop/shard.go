package loop

import (
	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

func newShard(s *Server, l *reactor.Loop) *shard {
	sh := &shard{s: s, l: l, pools: make(map[*backend.Backend]*idlePool), links: make(map[*backend.Backend][]*link), most: make(map[*backend.Backend]int)}
	sh.rescuer.sh = sh
	return sh
}

func (sh *shard) add(c *conn) {
	if c.next = sh.first; c.next != nil {
		c.next.prev = c
	}
	sh.first = c
	sh.n++
}

func (sh *shard) remove(c *conn) {
	sh.rescuer.gone(c)
	if c.prev == nil {
		sh.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	sh.n--
	sh.trim(0)
}

// gone is told that c is no connection of the shard any more.
func (r *rescuer) gone(c *conn) {
	if r.at == c {
		r.at = c.next
	}
}

// now returns the moment of the loop's turn.
func (sh *shard) now() gate.Now {
	return gate.Now{Mono: sh.l.Now(), Stalled: sh.l.Stalled(), Time: sh.l.Time()}
}
