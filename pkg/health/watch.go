package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"sluice/pkg/backend"
)

// watchBackend judges b until ctx ends, from what k knows of it, and returns what is
// known then. It checks first at a random moment within the interval, so that
// many backends are not checked all at once, but at once if b was down.
func watchBackend(ctx context.Context, b *backend.Backend, k keeper, readmitted <-chan string) keeper {
	w := watch{b: b, keeper: k, word: b.Condition().Word}
	defer w.wg.Wait()
	defer w.endRound()
	check := time.NewTimer(rand.N(k.cfg.Interval))
	defer check.Stop()
	readmit := time.NewTimer(longestEjection)
	readmit.Stop()
	defer readmit.Stop()
	if until, ejected := w.resume(b.Condition().Ejection); ejected {
		readmit.Reset(time.Until(until))
	}
	if w.h.State() == backend.Down {
		check.Reset(rand.N(k.cfg.FastInterval))
	}
	suspected := b.Suspected()
	if k.cfg.Check == nil {
		check.Stop()
		suspected = nil
	}
	var last time.Time // when the last check ended
	for {
		select {
		case <-ctx.Done():
			return w.keeper
		case <-b.Alarmed():
			now := time.Now()
			until, ejected := w.alarmed(now)
			if ejected {
				readmit.Reset(until.Sub(now))
			}
			if ejected && w.refutes() {
				check.Reset(w.pause(now))
			}
		case why := <-readmitted:
			if w.ejected {
				w.readmit(time.Now(), backend.Operator, why)
			}
		case <-readmit.C:
			if w.ejected {
				w.readmit(time.Now(), "time", "")
			}
		case <-suspected:
			// At once, but not faster than in transition, however many connects
			// fail.
			if w.running == 0 {
				check.Reset(max(0, w.pause(time.Now())-time.Since(last)))
			} else {
				w.suspected = true // the check may have begun before what made others suspicious
			}
		case <-check.C:
			if w.running > 0 { // the one before is slow
				b.Crowded()
			}
			if w.running < w.rivals() {
				w.begin(ctx)
			}
			switch {
			case w.running == 1: // to look whether it is slow, if nothing else
				check.Reset(k.cfg.Timeout / slowPart)
			case w.running >= w.rivals():
			default:
				check.Reset(k.cfg.FastInterval)
			}
		case r := <-w.results:
			w.end(r)
			if last = time.Now(); w.running == 0 {
				wait := w.wait(r.err == nil, last)
				if r.void && w.voids <= maxVoids {
					wait = w.pause(last)
				}
				if w.suspected {
					wait, w.suspected = min(wait, w.pause(last)), false
				}
				check.Reset(wait)
			} else if w.running < w.rivals() {
				check.Reset(k.cfg.FastInterval)
			}
		}
	}
}

// watch is one run of watchBackend; one goroutine owns it.
type watch struct {
	keeper
	b       *backend.Backend
	word    backend.Word // what it said last of itself
	badWord string

	// What clients were answered, as of the last look, and when that grew.
	out      uint64
	answered time.Time

	// A round is the checks that are under way together: one, and if that is
	// slow, as many as it takes to believe a failure.
	running   int
	suspected bool // somebody became suspicious meanwhile
	voids     int  // checks in a row that said nothing
	round     context.Context
	cancel    context.CancelFunc
	results   chan probed    // holds all of the round
	wg        sync.WaitGroup // of every check
}

// probed is how a check ended.
type probed struct {
	result Result
	err    error
	void   bool // it says nothing, because we did not run
}

// rivals returns how many checks may run together.
func (w *watch) rivals() int {
	if w.h.State() == backend.Up {
		return max(1, w.cfg.Fall-w.h.Contrary())
	}
	return 1
}

// begin begins a check.
func (w *watch) begin(ctx context.Context) {
	if w.running == 0 {
		ctx, w.cancel = context.WithCancel(ctx)
		w.round = ctx
		w.results = make(chan probed, max(1, w.cfg.Fall))
	}
	w.running++
	round, results := w.round, w.results
	if w.busyElsewhere(time.Now()) {
		round = context.WithValue(round, answersClients{}, true)
	}
	w.wg.Go(func() {
		probeCtx, cancel := context.WithTimeout(round, w.cfg.Timeout)
		defer cancel()
		began := time.Now()
		result, err := probeByName(probeCtx, w.cfg.Check, w.b)
		results <- probed{result, err, err != nil && void(err, w.cfg.Paused(began), w.cfg.Timeout)}
	})
}

// end takes the result of a check and publishes what follows from it. The
// first that passes, or that settles the matter, speaks for its round. One that
// could not be made, for want of descriptors, is none.
func (w *watch) end(r probed) {
	w.running--
	if w.voids++; !r.void {
		w.voids = 0
	}
	if r.void && w.voids <= maxVoids || backend.OwnFault(r.err) || errors.Is(r.err, errSilent) && w.busyElsewhere(time.Now()) {
		w.endRound() // which leaves everything as it was
		return
	}
	passed := r.err == nil
	if passed {
		w.b.Counters.ChecksPassed.Add(1)
	} else {
		w.b.Counters.ChecksFailed.Add(1)
	}
	from, now := w.h.State(), time.Now()
	w.b.Counters.LastCheck.Store(now.UnixNano())
	changed, streak := w.observe(passed, r.result.Tested, now)
	if passed || changed || w.running == 0 {
		w.endRound()
	}
	if changed {
		w.publish(from, streak, now, r.err)
	}
	if passed && r.result.Tested >= Answer {
		w.say(r.result, now)
	}
	if w.refuted(now) {
		w.readmit(now, w.cfg.Check.String(), fmt.Sprintf("%d passes in a row", w.passed))
	}
}

// idleTime is for how long after an answer an idle connection may keep a server
// that serves one at a time from answering a check.
const idleTime = 5 * time.Second

// busyElsewhere reports whether a backend need not answer a check, because it
// answers clients, or did a moment ago and nobody waits.
func (w *watch) busyElsewhere(now time.Time) bool {
	if out := w.b.Counters.BytesOut.Load(); out != w.out {
		w.out, w.answered = out, now
		return true
	}
	return w.b.Active() == 0 && now.Sub(w.answered) < idleTime
}

// endRound ends the checks that are under way; nobody hears of them any more.
func (w *watch) endRound() {
	if w.cancel != nil {
		w.cancel()
	}
	w.running, w.results, w.cancel = 0, nil, nil
}

// publish publishes and logs a new state.
func (w *watch) publish(from backend.State, streak int, now time.Time, err error) {
	c := backend.Condition{State: w.h.State(), Since: now, Streak: streak, Signal: w.cfg.Check.String()}
	level := slog.LevelInfo
	if err != nil {
		c.Detail = err.Error()
		c.Unreachable = unreachable(err)
		c.Rise = w.h.Needed(now)
		level = slog.LevelWarn
	}
	if from == backend.Down {
		w.b.Warm(w.cfg.SlowStart)
	}
	w.b.SetCondition(c)
	w.log(level, "backend state changed", "from", from.String(), "to", c.State.String(),
		"signal", c.Signal, "streak", streak, "detail", c.Detail, "rise", c.Rise)
}

// unreachable reports whether a check failed because it could not connect.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// say publishes and logs what the backend says of itself, if it is news.
func (w *watch) say(r Result, now time.Time) {
	if r.BadWord != w.badWord {
		if w.badWord = r.BadWord; w.badWord != "" {
			w.log(slog.LevelWarn, "cannot understand all that the backend says of itself", "header", WordHeader, "value", w.badWord)
		}
	}
	if r.Word == w.word {
		return
	}
	w.word = r.Word
	w.b.Say(r.Word, now)
	w.log(slog.LevelInfo, "backend says how to use it", "word", cmp.Or(r.Word.String(), "ready"))
}

// alarmed judges how live traffic fares and says until when the backend is
// ejected, if it is.
func (w *watch) alarmed(now time.Time) (until time.Time, ejected bool) {
	if w.b.TakeStalled() {
		if w.ejected {
			if w.silent {
				w.readmit(now, "live traffic", "it answers again")
			}
			return until, false
		}
		if e, eject := w.stalled(now); eject && w.b.Eject(e) {
			w.eject(e)
			w.log(slog.LevelWarn, "backend ejected", "cause", e.Cause, "number", e.Number, "until", e.Until)
			return e.Until, true
		}
	}
	e, eject := w.judge(w.b.Streak(), w.b.Evidence(), now)
	if !eject || !w.b.Eject(e) {
		return until, false
	}
	w.eject(e)
	w.log(slog.LevelWarn, "backend ejected", "cause", e.Cause, "streak", e.Streak, "number", e.Number, "until", e.Until)
	return e.Until, true
}

// readmit ends the ejection.
func (w *watch) readmit(now time.Time, signal, why string) {
	w.keeper.readmit(now)
	w.b.Warm(w.cfg.SlowStart)
	w.b.Readmit(now, signal, why)
	w.log(slog.LevelInfo, "backend readmitted", "signal", signal, "detail", why)
}

func (w *watch) log(level slog.Level, msg string, attrs ...any) {
	w.cfg.Logger.Log(context.Background(), level, msg,
		append([]any{"service", w.b.Service(), "backend", w.b.Addr(), "id", w.b.ID()}, attrs...)...)
}

// jitter spreads d by a tenth up or down.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}
