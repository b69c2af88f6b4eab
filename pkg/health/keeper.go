package health

import (
	"math/bits"
	"time"

	"sluice/pkg/backend"
)

const (
	// manyNetworks is how many networks it takes to eject a backend: more than
	// somebody has who wants to.
	manyNetworks = 5
	// manyRepeats is how many faults in a row it takes if there are fewer, and
	// how many of those requests others must have served.
	manyRepeats = 15
	// longestEjection bounds an ejection, whatever its number.
	longestEjection = 300 * time.Second
)

// What an ejection is for.
const (
	causeConnects = "connects failed"
	causeFaults   = "connections and requests failed"
	causeSilent   = "it takes connections and answers nobody"
)

// keeper is what health knows of one backend. It is plain code that reads no
// clock and waits for nothing.
type keeper struct {
	cfg    *Config
	h      Hysteresis
	passed int   // checks in a row, the latest included
	tested Layer // by the latest of them

	ejected    bool
	faults     bool      // what it is ejected for is more than failed connects
	silent     bool      // it is ejected because it answers nobody
	ejections  int       // the number of the last ejection
	readmitted time.Time // when that ended
}

func newKeeper(cfg *Config) keeper {
	return keeper{cfg: cfg, h: Hysteresis{Rise: cfg.Rise, Fall: cfg.Fall}}
}

// judge decides whether a backend is to be ejected for how live traffic fares.
// As in Envoy's outlier detection, the time grows with every ejection, and the
// number falls again by one for each base time in service.
func (k *keeper) judge(s backend.Streak, v backend.Evidence, now time.Time) (e backend.Ejection, eject bool) {
	switch {
	case k.ejected || k.h.State() == backend.Down: // out already
		return e, false
	case s.Connects >= backend.AlarmAfter:
		e.Streak, e.Cause = s.Connects, causeConnects
	case s.Faults >= backend.AlarmAfter && (isOutlier(v) || k.repeats(s, v)):
		e.Streak, e.Cause = s.Faults, causeFaults
	default:
		return e, false
	}
	k.number(&e, now)
	return e, true
}

// number gives an ejection its number and its time.
func (k *keeper) number(e *backend.Ejection, now time.Time) {
	served := int(now.Sub(k.readmitted) / k.cfg.EjectionTime)
	e.Number = max(0, k.ejections-served) + 1
	e.Since = now
	e.Until = now.Add(min(time.Duration(e.Number)*k.cfg.EjectionTime, max(longestEjection, k.cfg.EjectionTime)))
}

// stalled returns the ejection of a backend that answers nobody. Where our own
// check asks for an answer and gets it, that counts more.
func (k *keeper) stalled(now time.Time) (e backend.Ejection, eject bool) {
	if k.ejected || k.h.State() == backend.Down || k.passed > 0 && k.tested >= Answer {
		return e, false
	}
	e.Cause = causeSilent
	k.number(&e, now)
	return e, true
}

// isOutlier reports whether a backend fails many networks, and most of those
// that use it, while other members serve as many at least, and nearly all that
// use them.
func isOutlier(v backend.Evidence) bool {
	return v.Against >= manyNetworks && v.Against > v.For && v.PeersFor >= v.Against && 4*v.PeersAgainst <= v.PeersFor
}

// repeats reports whether a backend serves nobody, and fails what others have
// served, to the byte. No client can bring that about but by what the backend
// keeps of it, and if it does it harms nobody else. Where our own check asks for
// an answer and gets it, that counts more.
func (k *keeper) repeats(s backend.Streak, v backend.Evidence) bool {
	return s.Faults >= manyRepeats && v.Repeated >= manyRepeats && v.For == 0 && !(k.passed > 0 && k.tested >= Answer)
}

// eject notes that the backend is ejected now.
func (k *keeper) eject(e backend.Ejection) {
	k.ejected, k.faults, k.silent, k.ejections = true, e.Cause != causeConnects, e.Cause == causeSilent, e.Number
	k.passed = 0
	k.h.flapped(e.Since)
}

// resume takes up the ejection that the backend is back with, if any, and says
// until when it is.
func (k *keeper) resume(e backend.Ejection) (until time.Time, ejected bool) {
	if e.Active() && !k.ejected {
		k.eject(e)
	}
	k.ejected = e.Active()
	return e.Until, k.ejected
}

// readmit notes that the ejection has ended.
func (k *keeper) readmit(now time.Time) {
	k.ejected, k.readmitted = false, now
	k.h.recovered()
}

// observe takes the result of a check; tested is what it tested if it passed.
func (k *keeper) observe(pass bool, tested Layer, now time.Time) (changed bool, streak int) {
	k.passed++
	k.tested = tested
	if !pass {
		k.passed = 0
	}
	return k.h.Observe(pass, now)
}

// refutes reports whether checks such as the latest can find that the ejection
// was wrong: a connect that is made says nothing about the answers after it.
func (k *keeper) refutes() bool {
	if k.faults {
		return k.tested >= Answer
	}
	return k.tested >= Connect
}

// refuted reports whether checks have found that the backend works again; it
// takes as many passes in a row as a recovery does.
func (k *keeper) refuted(now time.Time) bool {
	return k.ejected && k.refutes() && k.h.State() != backend.Down && k.passed >= k.h.recovery(now)
}

// pause returns the least time between two checks now.
func (k *keeper) pause(now time.Time) time.Duration {
	return k.h.Spacing(now, k.cfg.FastInterval, k.cfg.Interval)
}

// wait returns the time until the next check after one that passed or not.
func (k *keeper) wait(passed bool, now time.Time) time.Duration {
	switch {
	case k.h.Contrary() > 0, k.ejected && k.refutes() && passed:
		return k.pause(now)
	case !passed:
		return together(jitter(k.cfg.DownInterval), now)
	}
	return together(jitter(k.cfg.Interval), now)
}

// gridPart is of which part of the time between checks those that are due then
// are made at once. Each wakes the process otherwise, in the middle of whatever
// it does, which costs more than the check itself.
const gridPart = 40

// together returns wait, from now on, or up to a gridPart of it more, so that
// others end at the same moment. The moments are those of the system's clock:
// that it is put back or forward does no more harm than that.
func together(wait time.Duration, now time.Time) time.Duration {
	grid := wait / gridPart
	if grid == 0 {
		return wait
	}
	grid = 1 << (bits.Len64(uint64(grid)) - 1) // the same for waits that are about as long
	end := now.Add(wait).UnixNano()
	return wait + grid - time.Duration(end%int64(grid))
}
