package attempt

import (
	"time"

	"sluice/pkg/backend"
)

// Found is why a plan has no backend.
type Found uint8

// Why there is none.
const (
	Nobody      Found = iota // no backend was eligible
	NoSlot                   // none had a slot free, and too many waited, or for too long
	Unreachable              // none of those tried could be connected to
	Closed                   // the service is in maintenance
)

// Found returns why there is no backend, after GiveUp.
func (p *Plan) Found() Found {
	switch {
	case p.closed:
		return Closed
	case p.tried.Len() > 0:
		return Unreachable
	case p.full:
		return NoSlot
	}
	return Nobody
}

// Queued reports whether a wait for a slot is under way.
func (p *Plan) Queued() bool { return p.queue.Waiting() }

// Shared reports whether somebody may hold the plan still after its end: who
// was asked to wake its owner.
func (p *Plan) Shared() bool { return p.queue.Used() }

// Retried returns how many backends were tried beside the first one.
func (p *Plan) Retried() int { return max(0, p.tried.Len()-1) }

// Running returns how many attempts are under way.
func (p *Plan) Running() int { return p.running }

// Err returns why the last attempt that failed did, and at whom; nil if none
// has.
func (p *Plan) Err() (*backend.Backend, error) { return p.failed, p.err }

// Took returns how long the last attempt that failed took, 0 if none has.
func (p *Plan) Took() time.Duration { return p.took }

// Plain reports whether there is nothing to tell of: one attempt, which did not
// fail.
func (p *Plan) Plain() bool { return p.tried.Len() == 1 && p.err == nil }
