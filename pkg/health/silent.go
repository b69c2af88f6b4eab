package health

import (
	"time"

	"sluice/pkg/backend"
)

// stallPoll is how often backends are looked at for stalls.
const stallPoll = 250 * time.Millisecond

// watchStalls has backends checked that seem to have stalled.
func (m *Monitor) watchStalls(done <-chan struct{}) {
	ticker := time.NewTicker(stallPoll)
	defer ticker.Stop()
	stalls := make(map[*backend.Backend]*stall)
	for last := time.Now(); ; last = time.Now() {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		if m.cfg.Load().Paused(last) > 0 {
			clear(stalls) // we have not looked at what backends said
		}
		m.mu.Lock()
		for b := range stalls {
			if m.loops[b] == nil {
				delete(stalls, b)
			}
		}
		for b := range m.loops {
			s := stalls[b]
			if s == nil {
				s = &stall{}
				stalls[b] = s
			}
			if s.look(b.Pulse()) {
				b.Suspect()
				b.Crowded()
			}
			s.silence.look(b.Counters.BytesOut.Load())
		}
		m.findSilent(stalls)
		m.mu.Unlock()
	}
}

// findSilent has backends judged that have stalled, or that were ejected for it
// and give something again; m.mu is held.
func (m *Monitor) findSilent(stalls map[*backend.Backend]*stall) {
	answering, unanswering := 0, 0
	for b, s := range stalls {
		if s.silence.looks < silentLooks {
			answering++
		}
		if b.Unanswered() > 0 {
			unanswering++
		}
	}
	for b, s := range stalls {
		n, e := b.Unanswered(), b.Condition().Ejection
		if e.Active() {
			if e.Cause == causeSilent && s.silence.looks == 0 {
				b.Stalled()
			}
			continue
		}
		if n > 0 && hasStalled(s.silence, n, len(stalls)-1, answering, unanswering-1) {
			b.Stalled()
		}
	}
}
