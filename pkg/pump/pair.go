package pump

import (
	"time"

	"sluice/pkg/reactor"
)

// brokenGrace is for how long a side that has broken may have unread what it
// sent before, while the other one takes nothing.
const brokenGrace = 2 * time.Second

// Side is one of the two that a Pair joins.
type Side uint8

// The sides of a pair.
const (
	Client Side = iota
	Server
)

// State says what a Move of a pair came to.
type State uint8

// A pair goes on until it has ended or broken.
const (
	Moving  State = iota // it goes on
	Changed              // it goes on, and what Left returns has changed
	Ended                // both sides have ended and everything was taken; Side was the first
	Broke                // Side has broken, by a reset or a time-out
)

// Step is what a Move of a pair came to.
type Step struct {
	Up, Down int64         // bytes that the server and the client have taken
	Quiet    time.Duration // if those are not both 0: for how long none had moved before
	State    State
	Side     Side
	Err      error // with which Side broke; nil where no operation has met it
}

// Pair is the two directions between a client and a server. Its zero value has
// moved nothing; Begin starts its time.
type Pair struct {
	Up   Pump // from the client to the server
	Down Pump // from the server to the client

	active   int64 // when a byte last moved, or an end was passed on; in the loop's time
	first    Side  // who ended first
	breaking bool  // a side has broken, which no read has met yet
}

// Begin starts the time in which no byte has moved, at now of the loop.
func (p *Pair) Begin(now int64) { p.active = now }

// Idle reports whether nothing is under way: nothing is held, and no side has
// ended or broken.
func (p *Pair) Idle() bool {
	return p.Up.idle() && p.Down.idle() && !p.breaking
}

// Shift is told that the loop of the streams is another one from now on, whose
// time is ahead of the former's by d.
func (p *Pair) Shift(d int64) { p.active += d }

// Move moves what can be moved both ways now, and passes ends on. After Ended or
// Broke it must not be called again.
func (p *Pair) Move(client, server reactor.Stream) (s Step) {
	now := client.Loop().Now()
	quiet := time.Duration(now - p.active)
	p.move(&s, client, server)
	if s.Up > 0 || s.Down > 0 {
		p.active, s.Quiet = now, quiet
	}
	if s.State == Changed {
		p.active = now
	}
	return s
}

func (p *Pair) move(s *Step, client, server reactor.Stream) {
	var broke Part
	if s.Up, broke, s.Err = p.Up.Move(client, server); broke != Neither {
		s.State, s.Side = Broke, Client
		if broke == Destination {
			s.Side = Server
		}
		return
	}
	if p.finish(s, &p.Up, Client, server); s.State == Ended {
		return
	}
	if s.Down, broke, s.Err = p.Down.Move(server, client); broke != Neither {
		s.State, s.Side = Broke, Server
		if broke == Destination {
			s.Side = Client
		}
		return
	}
	if p.finish(s, &p.Down, Server, client); s.State == Ended {
		return
	}
	if client.Broken() || server.Broken() {
		p.notice(s, client, server)
	}
}

// finish passes on that a direction has ended, from a side to dst. With both,
// the pair has: what closes the streams sends the other FIN.
func (p *Pair) finish(s *Step, d *Pump, from Side, dst reactor.Stream) {
	if d.told || !d.Finished() {
		return
	}
	d.told = true
	if p.Up.told && p.Down.told {
		s.State, s.Side = Ended, p.first
		return
	}
	p.first = from
	s.State = Changed
	_ = dst.CloseWrite() // fails only if dst broke, which a read of it tells
}

// notice deals with a side that has broken, which a read would tell if there
// were one: not after its end was read, nor while nobody takes what it sent.
// What there is of that has a little time, for the other side may just be slow.
func (p *Pair) notice(s *Step, client, server reactor.Stream) {
	switch {
	case client.Broken() && p.Up.Finished():
		s.State, s.Side = Broke, Client
	case server.Broken() && p.Down.Finished():
		s.State, s.Side = Broke, Server
	case !p.breaking:
		p.breaking = true
		s.State = Changed
	}
}

// Left returns for how long from now on no byte may move, 0 or less if that
// time is over. It is idle, or once a side has ended fin if that is shorter; 0
// or less stands for ever, and Forever is then returned.
func (p *Pair) Left(now int64, idle, fin time.Duration) time.Duration {
	limit := max(idle, 0)
	if (p.Up.told || p.Down.told) && fin > 0 && (fin < limit || limit == 0) {
		limit = fin
	}
	if p.breaking {
		limit = brokenGrace
	}
	if limit == 0 {
		return Forever
	}
	return limit - time.Duration(now-p.active)
}

// Forever is what Left returns if there is no limit.
const Forever = time.Duration(1<<63 - 1)

// Broken returns the side that has broken and had its time since then, if one
// has.
func (p *Pair) Broken(client, server reactor.Stream) (Side, bool) {
	switch {
	case !p.breaking:
		return 0, false
	case client.Broken():
		return Client, true
	}
	return Server, true
}

// Drop gives back what is borrowed.
func (p *Pair) Drop(l *reactor.Loop) {
	p.Up.backlog.Drop(l)
	p.Down.backlog.Drop(l)
}
