package engine

import (
	"time"

	"sluice/pkg/admin"
)

// straggleAfter is how long a start waits for services whose members are not known,
// although others of the same source are.
const straggleAfter = 10 * time.Second

// readiness says whether this process is ready, and what else is wrong.
func (e *Engine) readiness() admin.Readiness {
	waiting, late := e.services.unknown()
	waitingTags, lateTags := e.tags.unknown()
	waiting, late = append(waiting, waitingTags...), append(late, lateTags...)
	var r admin.Readiness
	if len(late) > 0 {
		r.Details = append(r.Details, "the members of "+named(late)+" are not known yet")
	}
	r.Details = append(r.Details, e.reloads.troubles()...)
	r.Details = append(r.Details, e.operators.troubles()...)
	r.Details = append(r.Details, e.services.troubles()...)
	r.Details = append(r.Details, e.tags.troubles()...)
	r.Details = append(r.Details, e.registrars.troubles()...)
	r.Details = append(r.Details, e.fronts.certs.troubles(time.Now())...)
	switch {
	case e.life.get() == starting:
		r.Reasons = []string{"starting"}
	case e.life.get() == draining:
		r.Reasons = []string{"draining"}
	case len(waiting) > 0:
		r.Reasons = []string{"the members of " + named(waiting) + " are not known yet"}
	default:
		r.Ready = true
	}
	return r
}

// unknown returns the names of the services whose members are not known yet:
// those that readiness waits for, and those that it waits for no longer, since
// another service of the same kind of source is known. One that never answers
// holds up nobody; a source that has said nothing at all does.
func (ss *services) unknown() (waiting, late []string) {
	answered := make(map[string]bool) // kinds of sources that have
	all := ss.list()
	for _, s := range all {
		if s.isKnown() {
			answered[s.sources()] = true
		}
	}
	for _, s := range all {
		switch {
		case s.isKnown():
		case answered[s.sources()] && time.Since(s.began) >= straggleAfter:
			late = append(late, s.name)
		default:
			waiting = append(waiting, s.name)
		}
	}
	return waiting, late
}
