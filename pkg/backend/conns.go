package backend

import "sync/atomic"

// Conns counts the connections that HTTP has to a backend, of all listeners and
// loops together. All fields are safe for concurrent use.
type Conns struct {
	Open atomic.Int64 // being made, in use, or idle
	Idle atomic.Int64 // idle; counted only while there is a limit
}

// SlotLimit returns how many slots of the backend may be taken at once, 0 for
// any number; see Pool.Limit.
func (b *Backend) SlotLimit() int64 { return b.pool.slots.most.Load() }
