package gate

import (
	"testing"

	"sluice/pkg/balance"
)

func TestRetry(t *testing.T) {
	t.Parallel()
	f := func(in failure, want verdict) {
		t.Helper()
		if got := retry(in); got != want {
			t.Errorf("unexpected verdict on %+v; got %d; want %d", in, got, want)
		}
	}
	// A failed connection is always safe to replace.
	f(failure{connects: 1}, another)
	f(failure{connects: 1, cause: overdue}, another)
	f(failure{connects: balance.MaxTries - 1, replays: 1}, another)
	f(failure{connects: balance.MaxTries}, giveUp)
	f(failure{connects: balance.MaxTries, cause: refused}, another)
	f(failure{cause: refused, spent: true}, giveUp)
	// Nothing was written.
	f(failure{reach: connected, reused: true}, anotherOrSame)
	f(failure{reach: connected}, another)
	f(failure{reach: connected, reused: true, replays: 1}, giveUp)
	// Something was.
	f(failure{reach: written, idempotent: true, replayable: true}, another)
	f(failure{reach: written, reused: true, idempotent: true, replayable: true}, anotherOrSame)
	f(failure{reach: written, idempotent: true}, giveUp)
	f(failure{reach: written, replayable: true}, giveUp)
	f(failure{reach: written, reused: true, replayable: true}, giveUp)
	f(failure{reach: written, idempotent: true, replayable: true, replays: 1}, giveUp)
	// An idle connection that had died is no attempt at its backend; there is one such.
	f(failure{reach: written, idempotent: true, replayable: true, replays: 1, idled: 1}, another)
	f(failure{reach: written, idempotent: true, replayable: true, replays: 2, idled: 1}, giveUp)
	f(failure{reach: written, replayable: true, replays: 1, idled: 1}, giveUp)
	// Never.
	f(failure{reach: seen, idempotent: true, replayable: true}, giveUp)
	f(failure{reach: written, cause: overdue, idempotent: true, replayable: true}, giveUp)
}
