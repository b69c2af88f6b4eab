package gate

import (
	"slices"
	"sync"
)

// Fronts are the drivers whose listeners lead to one service. Those of a kind
// find each other here, as for lending connections to backends. All methods are
// safe for concurrent use.
type Fronts struct {
	mu  sync.Mutex
	all []any
}

// Join adds a driver.
func (f *Fronts) Join(driver any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, driver)
}

// Part takes a driver out.
func (f *Fronts) Part(driver any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = slices.DeleteFunc(f.all, func(d any) bool { return d == driver })
}

// List returns the drivers.
func (f *Fronts) List() []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}
