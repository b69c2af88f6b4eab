package h2

import "time"

// A peer can make a session work for little: with pings, settings, empty frames.
// Such frames are glitches, and what is of use makes up for them: a level rises by
// the one and falls by the other, and with time. A peer that is above the limit is
// told to be calm, and left. It is the idea of HAProxy's glitches and of grpc-go's
// ping strikes: clients that measure the bandwidth by pings, as gRPC's do with
// every answer, are none the worse for it.
//
// Requests that are begun and never answered, because the client takes them back
// at once (CVE-2023-44487) or has them be reset (CVE-2025-8671), have a level of
// their own, which only requests that are answered make up for, and time: beside
// them any number of useful frames costs nothing.
const (
	maxGlitches   = 1000
	calmPerSecond = 50

	pingCost     = 1
	settingsCost = 5
	emptyCost    = 1 // a frame without content that ends nothing
	unknownCost  = 1

	maxWasted        = 1000
	forgivePerSecond = 200
	// hastyReset is how young a request is that is taken back at once.
	hastyReset = time.Second

	// windowsPerData is how many WINDOW_UPDATE a client may send for each DATA
	// frame that it gets.
	windowsPerData = 10
)

// level rises and falls by itself.
type level struct {
	n     int
	since int64 // when it last fell by time, in the loop's
}

// add raises the level by n, after it has fallen by perSecond since the last time.
func (l *level) add(now int64, n, perSecond int) int {
	if calm := int((now - l.since) * int64(perSecond) / int64(time.Second)); calm > 0 {
		l.n, l.since = max(0, l.n-calm), now
	}
	l.n += n
	return l.n
}

func (l *level) lower(n int) { l.n = max(0, l.n-n) }

// guard is how much of a nuisance the peer is.
type guard struct {
	glitches level
	wasted   level // requests
	// updates is how many WINDOW_UPDATE frames have come, less windowsPerData for
	// each DATA frame that was sent.
	updates int
}

// glitch counts what costs n.
func (s *Session) glitch(n int) *fault {
	if s.guard.glitches.add(s.l.Now(), n, calmPerSecond) > maxGlitches {
		return &fault{EnhanceYourCalm, "too many frames that bring nothing"}
	}
	return nil
}

// useful counts a frame that was of use, sent or received.
func (s *Session) useful() { s.guard.glitches.lower(1) }

// wastes counts a request that comes to nothing for what the client does.
func (s *Session) wastes() *fault {
	if s.guard.wasted.add(s.l.Now(), 1, forgivePerSecond) > maxWasted {
		return &fault{EnhanceYourCalm, "too many requests that come to nothing"}
	}
	return nil
}

// answers counts a request that was answered.
func (s *Session) answers() { s.guard.wasted.lower(1) }

// offends resets a stream for a fault of the peer's.
func (s *Session) offends(st *Stream, c Code) *fault {
	st.breakOff(c)
	return s.wastes()
}

// update counts a WINDOW_UPDATE. What takes DATA sends some for each of them;
// without any, only the first are free.
func (s *Session) update() *fault {
	if s.guard.updates++; s.guard.updates > maxGlitches {
		return s.glitch(unknownCost)
	}
	return nil
}
