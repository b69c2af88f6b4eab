//go:build !linux || portable

package reactor

import "time"

// maxEvents is more than a wait brings.
const maxEvents = 1

// poller waits to be woken: there are no sockets of ours here, only Conns.
type poller struct {
	woken chan struct{} // has room for one
	timer *time.Timer
}

func (p *poller) open() error {
	p.woken = make(chan struct{}, 1)
	p.timer = time.NewTimer(0)
	return nil
}

func (p *poller) close() { p.timer.Stop() }

// wake ends the current wait, or the next one. It may be called from any
// goroutine.
func (p *poller) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// wait waits to be woken, at most for d, and returns how many sockets have
// events: none.
func (p *poller) wait(d time.Duration, _ bool) int {
	p.timer.Reset(d)
	select {
	case <-p.woken:
	case <-p.timer.C:
	}
	return 0
}

func (l *Loop) dispatch(int) {}

func (l *Loop) closeClosed() {}

func (l *Loop) closeSockets() {}

// acceptors would accept in loops.
type acceptors struct{}

// firstFront returns how many of n loops take connections: all, as none of them
// can move.
func firstFront(n int) int { return n }

func (l *Loop) weigh() {}
