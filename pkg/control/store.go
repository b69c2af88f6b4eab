package control

import (
	"context"
	"sync"
)

// Store is where an overlay is kept. All methods are safe for concurrent use.
type Store interface {
	// Name says where, in words: "memory", "file PATH" or "fleet NAME".
	Name() string
	// Load returns what is kept.
	Load(ctx context.Context) (Overlay, error)
	// Swap makes next what is kept, if old still is, and returns ErrStale if it
	// is not. ErrNoContact means that it cannot be known whether it was.
	Swap(ctx context.Context, old, next Overlay) error
	// Follow calls f with what is kept whenever somebody else has changed it,
	// and with an error whenever contact is lost or what is kept cannot be
	// used, until ctx ends. f is called from one goroutine.
	Follow(ctx context.Context, f func(Overlay, error))
}

// memory keeps an overlay as long as the process lives.
type memory struct {
	mu   sync.Mutex
	kept Overlay
}

// NewMemory returns a store that forgets everything with the process.
func NewMemory() Store { return &memory{} }

func (m *memory) Name() string { return "memory" }

func (m *memory) Load(context.Context) (Overlay, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept, nil
}

func (m *memory) Swap(_ context.Context, old, next Overlay) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept.Version != old.Version || m.kept.Lineage != old.Lineage {
		return ErrStale
	}
	if _, err := Encode(next); err != nil {
		return err
	}
	m.kept = next
	return nil
}

func (m *memory) Follow(ctx context.Context, _ func(Overlay, error)) { <-ctx.Done() }
