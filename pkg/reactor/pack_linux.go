//go:build !portable

package reactor

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// firstFront returns how many of n loops accept at first.
func firstFront(int) int { return 1 }

// processTime returns how much processor time the process has used, in ns.
func processTime() int64 {
	var ts unix.Timespec
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_PROCESS_CPUTIME_ID, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

// weigh finds out how busy the loop is, and what follows from that.
func (l *Loop) weigh() {
	real := l.clock.real
	passed := real - l.scale.at
	if passed < int64(weighEvery) || l.scale.turns+l.scale.waits == 0 {
		return
	}
	cpu := processTime()
	busy := int(l.scale.turns * 1000 / (l.scale.turns + l.scale.waits))
	used := int((cpu - l.scale.cpu) * 1000 / passed)
	l.scale = scale{at: real, cpu: cpu}
	all := busy
	for _, x := range l.group.loops {
		if x != l {
			all += x.weight.busyAt(real)
		}
	}
	l.weight.busy.Store(int32(busy))
	l.weight.share.Store(int32(share(busy, all, used)))
	l.weight.at.Store(real)
	l.group.rebalance(l)
}

// rebalance is told that l was weighed.
func (g *Group) rebalance(l *Loop) {
	if l.shed.fixed {
		return
	}
	now := l.clock.real
	shares := l.shares[:0]
	for _, x := range g.loops {
		shares = append(shares, x.weight.shareAt(now))
	}
	l.shares = shares
	front := int(g.front.Load())
	if l.index == 0 {
		if !spare(shares, front) {
			g.quietSince = now
		}
		next := nextFront(shares, front, now-g.quietSince >= int64(shrinkAfter))
		if next != front {
			g.quietSince = now
			g.setFront(next)
			front = next
		}
	}
	l.shed.to = nil
	if to, part := plan(shares, front, l.index); part > 0 {
		l.shed = shedding{to: g.loops[to], part: uint32(uint64(part) * (1<<32 - 1) / 1000), salt: uint32(now / int64(weighEvery))}
	}
}

// Shed returns the loop to which a stream that has come to this one at the
// moment since, of Real, and has nothing under way, is to move now, or nil if it
// stays. The choice is the same for a while, whoever asks how often.
func (l *Loop) Shed(s *Socket, since int64) *Loop {
	if l.shed.to == nil || l.clock.real-since < int64(settledAfter) {
		return nil
	}
	// Fibonacci hashing (Knuth, TAOCP 3, 6.4).
	if h := (uint32(s.fd)*2654435769 ^ l.shed.salt*0x9e3779b1) * 2654435769; h > l.shed.part {
		return nil
	}
	return l.shed.to
}

// Divert makes the loop give away all connections that may move to another, or
// none if that is itself, from now on, however busy they are; the first loop keeps
// the front as it is, too. It is for tests of what moves.
func (l *Loop) Divert(to *Loop) {
	l.shed = shedding{part: 1<<32 - 1, fixed: true}
	if to != l {
		l.shed.to = to
	}
}
