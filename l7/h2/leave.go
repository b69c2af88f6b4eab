package h2

import (
	"errors"
	"time"

	"sluice/pkg/reactor"
)

// Leaving is in two steps (RFC 9113 6.8): the client is told that the end is
// near, with the highest number that there is, and a round trip later which
// stream was the last one that is served. What it has sent before it heard the
// first word is served; what it sends after that it knows to be lost.

const (
	// warning is how long a client has to hear the first word.
	warning = time.Second
	// probeAfter is how long a backend may say nothing, while a request waits
	// for it, until it is asked whether it is alive; probeTimeout is what it has
	// to answer. Servers of gRPC count pings that come oftener than every five
	// minutes unless they have sent something since, and bear two.
	probeAfter   = 10 * time.Second
	probeTimeout = 5 * time.Second
	probeEvery   = 5 * time.Minute
)

var (
	errIdle    = errors.New("h2: the connection was idle")
	errStalled = errors.New("h2: the peer takes nothing")
	errSilent  = errors.New("h2: the peer does not answer a PING")
	errNoHead  = errors.New("h2: a header block that takes too long")
)

// Leave begins to end the session: the client is to open no more streams, and
// those that there are go on.
func (s *Session) Leave() {
	if s.ended || s.leaving.phase != staying {
		return
	}
	s.leaving.phase, s.leaving.since = warned, s.l.Now()
	if s.role == asking {
		s.leaveIfIdle()
		return
	}
	s.control(appendGoAway(s.room(17), maxStreamID, NoError, ""))
	s.arm(warning)
}

// LeaveNow is Leave without the wait between its two steps.
func (s *Session) LeaveNow() {
	s.Leave()
	if !s.ended && s.role == serving {
		s.depart()
	}
}

// depart says which stream was the last one.
func (s *Session) depart() {
	if s.leaving.phase == departed {
		return
	}
	s.leaving.phase, s.leaving.bound = departed, s.last
	s.control(appendGoAway(s.room(17), s.last, NoError, ""))
	s.leaveIfIdle()
}

// leaveIfIdle ends a session that is to end and has no stream any more.
func (s *Session) leaveIfIdle() {
	if s.ended || len(s.streams) > 0 || s.out.len() > 0 || len(s.fresh) > 0 {
		return
	}
	switch {
	case s.role == asking && (s.leaving.phase != staying || s.leaving.goAway):
		s.end(NoError, nil)
	case s.role == serving && s.leaving.phase == departed:
		_ = s.stream.CloseWrite()
		s.end(NoError, nil)
	}
}

// Idle reports whether nothing is under way on the session.
func (s *Session) Idle() bool { return len(s.streams) == 0 }

// arm has the session looked at after d at the latest.
func (s *Session) arm(d time.Duration) {
	at := s.l.Now() + int64(d)
	if s.timer.Set() && s.deadline <= at {
		return
	}
	s.deadline = at
	s.l.After(&s.timer, d, s)
}

// Expired looks whether something takes too long.
func (s *Session) Expired(*reactor.Timer) {
	if s.ended {
		return
	}
	now := s.l.Now()
	since := func(at int64) time.Duration { return time.Duration(now - at) }
	next := s.cfg.IdleTimeout
	if s.leaving.phase == warned && s.role == serving {
		if since(s.leaving.since) >= warning {
			s.depart()
			s.flush()
			if s.ended {
				return
			}
		}
		next = min(next, warning)
	}
	live := &s.liveness
	switch {
	case s.block.id != 0 || !s.peer.told:
		if since(s.block.since) >= s.cfg.HeadTimeout {
			s.fail(&fault{EnhanceYourCalm, errNoHead.Error()})
			return
		}
		next = min(next, s.cfg.HeadTimeout-since(s.block.since))
	case s.out.len() > 0:
		if since(live.moved) >= s.cfg.StallTimeout {
			s.end(NoError, errStalled)
			return
		}
		next = min(next, s.cfg.StallTimeout-since(live.moved))
	case len(s.streams) == 0:
		if since(max(live.heard, live.idle)) >= s.cfg.IdleTimeout {
			s.control(appendGoAway(s.room(17), s.lastOfPeer(), NoError, ""))
			s.flush()
			s.end(NoError, errIdle)
			return
		}
		next = min(next, s.cfg.IdleTimeout-since(max(live.heard, live.idle)))
	}
	if s.role == asking && len(s.streams) > 0 {
		switch {
		case live.pinged != 0 && live.heard < live.pinged && since(live.pinged) >= probeTimeout:
			s.end(NoError, errSilent)
			return
		case live.pinged == 0 && since(live.heard) >= probeAfter && s.mayProbe(now):
			live.pinged, live.asked = now, now
			s.control(appendPing(s.room(17), 0, []byte("sluice??")))
			s.flush()
		case live.heard >= live.pinged:
			live.pinged = 0
		}
		next = min(next, probeTimeout)
	}
	s.arm(max(next, time.Millisecond))
}

// mayProbe reports whether a PING is within what servers bear.
func (s *Session) mayProbe(now int64) bool {
	live := &s.liveness
	return live.asked == 0 || live.heard > live.asked+int64(probeTimeout) || now-live.asked >= int64(probeEvery)
}
