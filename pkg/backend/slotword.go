package backend

import "sync/atomic"

const (
	// takenBits are those of a slotWord that say how many slots are taken; the
	// others say how many ever were.
	takenBits = 24
	takenMask = 1<<takenBits - 1
	// oneTaken is what taking a slot adds.
	oneTaken = 1<<takenBits + 1
)

// slotWord counts the slots of a backend that are taken and those that ever
// were, in one word, so that the second count costs nothing. As many as 16
// million can be taken at once, and a million million before the count of all
// begins anew. The zero value is none.
type slotWord struct{ word atomic.Uint64 }

func (s *slotWord) take() { s.word.Add(oneTaken) }

// takeBelow takes a slot if fewer than most are taken.
func (s *slotWord) takeBelow(most int64) bool {
	for {
		n := s.word.Load()
		if int64(n&takenMask) >= most {
			return false
		}
		if s.word.CompareAndSwap(n, n+oneTaken) {
			return true
		}
	}
}

// give gives a slot back and reports whether one was taken.
func (s *slotWord) give() bool { return s.word.Add(^uint64(0))&takenMask != takenMask }

func (s *slotWord) taken() int64 { return int64(s.word.Load() & takenMask) }

func (s *slotWord) ever() uint64 { return s.word.Load() >> takenBits }
