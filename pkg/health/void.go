package health

import (
	"errors"
	"syscall"
	"time"
)

// slowPart says what part of its timeout a check may take before it is slow,
// and others are made beside it to save time if it fails.
const slowPart = 4

// maxVoids is how many checks in a row may say nothing. Where the process is kept
// from running all the time, a backend that is dead must be found all the same.
const maxVoids = 10

// void reports whether a check that failed says nothing of its backend, because
// the process did not run for a part of it that matters: it may have taken so
// long, or been given up by the backend, for that. Who refuses has answered.
func void(err error, paused, timeout time.Duration) bool {
	return paused >= timeout/slowPart && !errors.Is(err, syscall.ECONNREFUSED)
}
