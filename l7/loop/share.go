package loop

import (
	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

// Where a backend may have few connections (backend.Pool.Limit), those that are
// idle belong to everybody: a loop that needs one more than there may be gets
// an idle one of another loop, or of another listener, or has it closed.

// full reports whether one more connection to b would be more than there may
// be, or one more idle one afterwards than is kept. A request that has a slot is
// none of those that are open yet, so either way some are idle.
func full(b *backend.Backend) bool {
	most := b.SlotLimit()
	return most > 1 && (b.Conns.Open.Load() >= most || b.Conns.Idle.Load() >= gate.IdleRoom(most)) || most == 1 && b.Conns.Open.Load() > 0
}

// borrow gets an idle connection from elsewhere for up, which has none, or room
// for a new one. An error is as that of reach.
func (up *upstream) borrow() error {
	if up.sh.drop(up.b) { // one that rests, or may not be used by this request
		return up.reach()
	}
	return up.ask(fellows(up.svc, up.sh))
}

// ask asks shards, one after the other, in their loops.
func (up *upstream) ask(shards []*shard) error {
	give := (*shard).hand
	if !up.x.MayReuse() {
		give = (*shard).vacate
	}
	for i, sh := range shards {
		if sh.l == up.sh.l { // of another listener
			if sh.drop(up.b) {
				break
			}
			continue
		}
		if sh.l.Post(func() { give(sh, up, shards[i+1:]) }) {
			return nil
		}
	}
	return up.reach()
}

// hand gives an idle connection to up, which lives elsewhere, or has it ask on.
func (sh *shard) hand(up *upstream, rest []*shard) {
	p := sh.pools[up.b]
	if p == nil || p.first == nil {
		up.askOn(rest)
		return
	}
	idle, now := p.first, sh.l.Now()
	p.remove(idle)
	if idle.rests <= now && now < idle.until && idle.quiet() && idle.moveTo(up.sh.l, up.handed) {
		sh.upstreams--
		return // counted as open still
	}
	idle.close()
	up.askOn(nil)
}

// vacate closes an idle connection for up, which may not use it, or has it ask on.
func (sh *shard) vacate(up *upstream, rest []*shard) {
	if sh.drop(up.b) {
		rest = nil
	}
	up.askOn(rest)
}

// askOn has up ask the rest, in its own loop.
func (up *upstream) askOn(rest []*shard) {
	up.sh.l.Post(func() {
		if up.x != nil {
			defer up.x.c.guard()
			up.went(up.ask(rest))
		}
	})
}

// handed takes a connection that was idle in another loop.
func (up *upstream) handed(stream *reactor.Socket, err error) {
	b := up.b
	if err != nil {
		b.Conns.Open.Add(-1)
	}
	x := up.x
	if x == nil { // it is over
		if err == nil {
			b.Conns.Open.Add(-1)
			stream.Close()
		}
		return
	}
	defer x.c.guard()
	if err != nil {
		up.went(up.reach())
		return
	}
	if up.stream = stream; !up.quiet() {
		up.stream = nil
		b.Conns.Open.Add(-1)
		stream.Close()
		up.went(up.reach())
		return
	}
	up.sh.upstreams++
	stream.Handle(up)
	up.connecting, up.reused = false, true
	up.sh.l.Stop(&up.timer)
	x.took()
}

// went tells the exchange if err says that connecting has failed.
func (up *upstream) went(err error) {
	if err != nil {
		up.x.connectFailed(up, err)
	}
}

// fellows returns the shards whose requests go to the service as well, but for
// one of them.
func fellows(svc *gate.Service, but *shard) (all []*shard) {
	servers := []any{but.s}
	if f := svc.Fronts(); f != nil {
		servers = f.List()
	}
	for _, front := range servers {
		s, ok := front.(*Server)
		if !ok {
			continue // another driver, whose connections are not ours to use
		}
		for _, sh := range s.shards {
			if sh != but {
				all = append(all, sh)
			}
		}
	}
	return all
}

// moveTo gives an idle connection to another loop, if it can be moved.
func (up *upstream) moveTo(to *reactor.Loop, then func(*reactor.Socket, error)) bool {
	s, ok := up.stream.(*reactor.Socket)
	return ok && s.Move(to, then)
}
