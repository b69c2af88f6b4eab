package l7

import (
	"sluice/l7/http1"
	"sluice/pkg/accesslog"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

// freeExchanges is how many exchanges a shard keeps for requests to come.
const freeExchanges = 256

// shard is the part of a server that lives in one loop. Nothing of it is
// touched by anybody else.
type shard struct {
	s         *Server
	l         *reactor.Loop
	first     *conn
	rescuer   rescuer
	n         int // connections
	upstreams int // connections to backends
	pools     map[*backend.Backend]*idlePool
	free      []*exchange
	record    accesslog.Record // memory for the one that is being made
	probe     [1]byte
	date      string // of second
	second    int64
}

func newShard(s *Server, l *reactor.Loop) *shard {
	sh := &shard{s: s, l: l, pools: make(map[*backend.Backend]*idlePool)}
	sh.rescuer.sh = sh
	return sh
}

// now returns the time as HTTP writes it, the same string for a second.
func (sh *shard) now() string {
	if t := sh.l.Wall(); t.Unix() != sh.second || sh.date == "" {
		sh.second, sh.date = t.Unix(), t.UTC().Format(httpDate)
	}
	return sh.date
}

// httpDate is IMF-fixdate (RFC 9110 5.6.7).
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

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

// stopIdle ends the connections that wait for a request.
func (sh *shard) stopIdle(how int32) {
	for c := sh.first; c != nil; c = c.next {
		c.stopIdle(how)
	}
}

// cut ends all connections and returns how many there were.
func (sh *shard) cut() (n int) {
	for sh.first != nil {
		sh.first.cut()
		n++
	}
	return n
}

// newExchange returns an exchange for a request of c with the given head,
// which it copies.
func (sh *shard) newExchange(c *conn, raw []byte) *exchange {
	var x *exchange
	if n := len(sh.free); n > 0 {
		x = sh.free[n-1]
		sh.free = sh.free[:n-1]
	} else {
		x = &exchange{sh: sh}
	}
	x.c, x.start, x.real = c, sh.l.Now(), sh.l.Real()
	cfg := &sh.s.cfg
	x.waits = sh.s.waits
	x.req.Limits = http1.Limits{Fields: cfg.MaxFields, Target: cfg.MaxTargetBytes}
	x.resp.Limits = http1.Limits{Fields: max(cfg.MaxFields, http1.MaxFields)}
	x.raw = append(x.raw[:0], raw...)
	return x
}

// release takes an exchange back.
func (sh *shard) release(x *exchange) {
	const worthKeeping = 16 << 10
	raw := x.raw[:0]
	if cap(raw) > worthKeeping {
		raw = nil
	}
	x.req.Reset()
	x.resp.Reset()
	req, resp, rewritten, noted := x.req, x.resp, x.rewritten, x.noted.reset()
	if cap(rewritten) > worthKeeping {
		rewritten = nil
	}
	forms := http1.Path{Mem: x.path.Mem[:0]}
	if cap(forms.Mem) > worthKeeping {
		forms = http1.Path{}
	}
	*x = exchange{sh: sh, raw: raw, req: req, resp: resp, rewritten: rewritten, path: forms, noted: noted, from: origin{hops: x.from.hops[:0]}}
	if len(sh.free) < freeExchanges {
		sh.free = append(sh.free, x)
	}
}

// close closes the idle connections to backends. No connection of a client is
// left.
func (sh *shard) close() {
	for b, p := range sh.pools {
		p.close()
		delete(sh.pools, b)
	}
}
