package loop

import (
	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

// shard is the part of a server that lives in one loop. Nothing of it is
// touched by anybody else.
type shard struct {
	s         *Server
	l         *reactor.Loop
	first     *conn
	visits    *visit
	rescuer   rescuer
	n         int // connections
	upstreams int // connections to backends
	pools     map[*backend.Backend]*idlePool
	free      []*exchange
	probe     [1]byte
}

func newShard(s *Server, l *reactor.Loop) *shard {
	sh := &shard{s: s, l: l, pools: make(map[*backend.Backend]*idlePool)}
	sh.rescuer.sh = sh
	return sh
}

// stopIdle ends the connections that wait for a request.
func (sh *shard) stopIdle(how int32) {
	for c := sh.first; c != nil; c = c.next {
		c.stopIdle(how)
	}
	sh.leaveVisits()
}

// cut ends all connections and returns how many there were.
func (sh *shard) cut() (n int) {
	for sh.first != nil {
		sh.first.cut()
		n++
	}
	sh.cutVisits()
	return n
}

// close closes the idle connections to backends. No connection of a client is
// left.
func (sh *shard) close() {
	for b, p := range sh.pools {
		p.close()
		delete(sh.pools, b)
	}
}

// now returns the moment of the loop's turn.
func (sh *shard) now() gate.Now {
	return gate.Now{Mono: sh.l.Now(), Stalled: sh.l.Stalled(), Time: sh.l.Time()}
}
