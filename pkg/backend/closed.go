package backend

// Closed says that a service serves nobody, on an operator's word: it is in
// maintenance.
type Closed struct {
	// Text is what HTTP clients are told; empty for words of sluice's own.
	Text string
}

// SetMaintenance closes the service, or with nil opens it. Who is served already
// is not touched.
func (p *Pool) SetMaintenance(c *Closed) { p.closed.Store(c) }

// Maintenance returns why the service serves nobody, nil if it does. It does not
// block or allocate.
func (p *Pool) Maintenance() *Closed { return p.closed.Load() }
