package h2

import "time"

// A peer can make a session work for little: with pings, settings, resets, empty
// frames. Such frames are glitches, and what is of use makes up for them: a level
// rises by the one and falls by the other, and with time. A peer that is above
// the limit is told to be calm, and left. It is the idea of HAProxy's glitches
// and of grpc-go's ping strikes: clients that measure the bandwidth by pings,
// as gRPC's do with every answer, are none the worse for it.
const (
	maxGlitches   = 1000
	calmPerSecond = 50

	pingCost     = 1
	settingsCost = 5
	emptyCost    = 1 // a frame without content that ends nothing
	unknownCost  = 1
	refusedCost  = 2
	// resetCost is for a request that is taken back at once. The HEADERS before
	// it were of use only seemingly.
	resetCost = 4
	// hastyReset is how young a stream is whose reset is such.
	hastyReset = time.Second
)

// guard is how much of a nuisance the peer is.
type guard struct {
	level int
	since int64 // when level last fell by time, in the loop's
}

// glitch counts what costs n.
func (s *Session) glitch(n int) *fault {
	g, now := &s.guard, s.l.Now()
	if calm := int((now - g.since) / int64(time.Second/calmPerSecond)); calm > 0 {
		g.level, g.since = max(0, g.level-calm), now
	}
	if g.level += n; g.level > maxGlitches {
		return &fault{EnhanceYourCalm, "too many frames that bring nothing"}
	}
	return nil
}

// useful counts a frame that was of use, sent or received.
func (s *Session) useful() { s.guard.level = max(0, s.guard.level-1) }
