package reactor

// ScratchSize is the size of Loop.Scratch in bytes.
const ScratchSize = 128 << 10

// freeBuffers is how many borrowed buffers a loop keeps for the next borrower.
const freeBuffers = 64

// Scratch returns the loop's own buffer, ScratchSize long. What is in it lasts
// until the handler returns.
func (l *Loop) Scratch() []byte { return l.scratch }

// Borrow returns a buffer with the content of p, for bytes that a peer does
// not take yet. Return gives it back.
func (l *Loop) Borrow(p []byte) []byte {
	n := len(l.free)
	if n == 0 || len(p) > ScratchSize {
		b := make([]byte, len(p), max(len(p), ScratchSize))
		copy(b, p)
		return b
	}
	b := l.free[n-1][:len(p)]
	l.free = l.free[:n-1]
	copy(b, p)
	return b
}

// Return takes a buffer from Borrow back.
func (l *Loop) Return(b []byte) {
	if cap(b) == ScratchSize && len(l.free) < freeBuffers {
		l.free = append(l.free, b[:0])
	}
}
