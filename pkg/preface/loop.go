package preface

import (
	"errors"
	"os"
	"slices"
	"time"

	"sluice/pkg/reactor"
)

// Owner is whose stream a preface is awaited of.
type Owner interface {
	reactor.Mourner
	// Understood is told how it ended, once, in the loop, with what has come;
	// see the package. b is valid until it returns. The stream is then to be
	// given another handler, or closed.
	Understood(b []byte, err error)
}

// Awaiting is a preface that is awaited in a loop. It is the handler of the
// stream until its owner is told.
type Awaiting struct {
	stream reactor.Stream
	parse  Parser
	owner  Owner
	limits Limits
	begun  int64
	kept   []byte // what has come and is not understood yet
	timer  reactor.Timer
	over   bool
}

// Await awaits a preface of s, of which read has come already, in the loop of s
// and from there. The owner may be told before it returns.
func Await(s reactor.Stream, read []byte, limits Limits, parse Parser, o Owner) *Awaiting {
	a := &Awaiting{stream: s, parse: parse, owner: o, limits: limits, begun: s.Loop().Now()}
	s.Handle(a)
	if len(read) > 0 {
		a.feed(read)
	} else {
		s.Loop().After(&a.timer, limits.first(), a)
	}
	a.Ready(s)
	return a
}

// Stop ends the wait without a word to the owner.
func (a *Awaiting) Stop() {
	a.over = true
	a.stream.Loop().Stop(&a.timer)
}

// Ready reads what has come.
func (a *Awaiting) Ready(reactor.Stream) {
	for !a.over && a.stream.Readable() {
		buf := a.stream.Loop().Scratch()
		n, err := a.stream.Read(buf)
		switch {
		case err == nil:
			a.feed(buf[:n])
		case errors.Is(err, reactor.ErrAgain):
			return
		default:
			a.end(a.kept, ended(a.kept, err))
		}
	}
}

// feed gives the parser b, behind what was kept.
func (a *Awaiting) feed(b []byte) {
	first := len(a.kept) == 0
	if !first {
		a.kept = append(a.kept, b...)
		b = a.kept
	}
	if content, err := a.parse(b); content || err != nil {
		a.end(b, err)
		return
	}
	if first {
		a.kept = slices.Clone(b)
		l := a.stream.Loop()
		l.After(&a.timer, a.limits.Whole-time.Duration(l.Now()-a.begun), a)
	}
}

func (a *Awaiting) end(b []byte, err error) {
	a.Stop()
	a.owner.Understood(b, err)
}

// Expired is told that the time is over.
func (a *Awaiting) Expired(*reactor.Timer) { a.end(a.kept, os.ErrDeadlineExceeded) }

// Panicked tells the owner.
func (a *Awaiting) Panicked() {
	a.Stop()
	a.owner.Panicked()
}
