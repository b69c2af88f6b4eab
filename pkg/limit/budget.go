package limit

import (
	"sync/atomic"
	"time"
)

// Budget says whether a retry may be made. Retries are a fraction of what is
// asked for: a backend that fails is retried elsewhere, but a service that
// fails altogether is not given a multiple of its load. Each first attempt
// pays a fraction of a retry into an account that is bounded, and each retry
// takes one out; a floor is paid in with time, so that little traffic can be
// retried too. It follows Finagle's RetryBudget and Envoy's retry budget.
//
// All methods are safe for concurrent use and do not block.
type Budget struct {
	deposit atomic.Int64 // thousandths of a retry for each first attempt
	floor   int64        // thousandths of a retry for each second
	limit   int64        // most that the account holds

	epoch   time.Time
	account atomic.Int64 // thousandths of a retry
	paid    atomic.Int64 // until when the floor was paid, ns since epoch
}

const (
	oneRetry = 1000
	// initialRetries is what an account begins with, so that a backend that
	// died before the start costs nobody a connection.
	initialRetries = 100
	// maxRetries bounds what quiet times save up.
	maxRetries = 1000
)

// NewBudget returns a budget of ratio retries for each first attempt, 0.2 for
// a fifth, and at least perSecond retries a second. A negative ratio means
// that every retry may be made.
func NewBudget(ratio, perSecond float64, now time.Time) *Budget {
	b := &Budget{floor: int64(perSecond * oneRetry), limit: maxRetries * oneRetry, epoch: now}
	b.SetRatio(ratio)
	b.account.Store(initialRetries * oneRetry)
	return b
}

// SetRatio changes how many retries there may be for each first attempt from now
// on; see NewBudget.
func (b *Budget) SetRatio(ratio float64) {
	deposit := int64(ratio * oneRetry)
	if ratio < 0 {
		deposit = -1
	}
	b.deposit.Store(deposit)
}

// Attempt notes a first attempt.
func (b *Budget) Attempt() {
	if b.account.Load() < b.limit {
		b.account.Add(max(0, b.deposit.Load()))
	}
}

// Retry reports whether a retry may be made now, and takes it from the
// account.
func (b *Budget) Retry(now time.Time) bool {
	if b.deposit.Load() < 0 {
		return true
	}
	b.payFloor(int64(now.Sub(b.epoch)))
	for {
		have := b.account.Load()
		if have < oneRetry {
			return false
		}
		if b.account.CompareAndSwap(have, have-oneRetry) {
			return true
		}
	}
}

// payFloor pays the floor for the time since it was last paid.
func (b *Budget) payFloor(now int64) {
	paid := b.paid.Load()
	if now < paid-int64(clockSlack) { // it was put back
		b.paid.CompareAndSwap(paid, now)
		return
	}
	due := (now - paid) / int64(time.Millisecond) * b.floor / 1000
	if due <= 0 || !b.paid.CompareAndSwap(paid, now) {
		return
	}
	if room := b.limit - b.account.Load(); room > 0 {
		b.account.Add(min(due, room))
	}
}
