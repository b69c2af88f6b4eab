package gate

import "time"

// defaultMinBodyRate is far below what the slowest of lines carries, 64 bytes a
// second, and far above what keeps others from being served on purpose.
const defaultMinBodyRate = 64

// Pace is how fast a client sends or takes a body while nobody but it is waited
// for. Its zero value measures nothing.
type Pace struct {
	From  int64 // when the window began, as Now.Mono; 0: there is none
	Bytes int64 // that had moved then; Unknown until the first look
}

// Unknown stands for a number of bytes that it is not worth to ask for yet.
const Unknown = -1

// Slow takes a look at how many bytes have moved in all, and reports whether
// that is less than rate a second, once a window is over. If nothing has, that is for the limit of time
// without progress to judge, and the window becomes longer.
func (p *Pace) Slow(now, moved, rate int64, window time.Duration) bool {
	switch elapsed := now - p.From; {
	case p.From == 0 || elapsed < int64(window):
		return false
	case p.Bytes == Unknown || float64(moved-p.Bytes) >= float64(rate)*float64(elapsed)/float64(time.Second):
		p.From, p.Bytes = now, moved
		return false
	}
	return moved > p.Bytes
}
