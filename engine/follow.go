package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/pkg/backend"
	"sluice/pkg/control"
)

const (
	// applyAgain is how long after what an operator changed could not be applied
	// it is tried again.
	applyAgain = 5 * time.Second
	// contactEvery is how often troubles are looked at for the journal.
	contactEvery = time.Second
)

// operators is how far what operators changed has been applied.
type operators struct {
	book *control.Book // nil: nothing can be changed

	// mu protects the fields below.
	mu      sync.Mutex
	applied control.Overlay // or tried, if err is not nil
	err     error           // why it could not be
	more    chan struct{}   // closed when either changes
}

// followBook applies what operators change, until ctx ends.
func (e *Engine) followBook(ctx context.Context) {
	o := &e.operators
	if o.book == nil {
		return
	}
	for {
		overlay, more := o.book.Wait()
		o.mu.Lock()
		same := o.err == nil && o.applied.Tag() == overlay.Tag() && o.applied.SameChanges(overlay)
		o.mu.Unlock()
		var again <-chan time.Time
		if !same {
			err := e.Apply(overlay)
			o.note(overlay, err)
			if err != nil {
				e.logger.Error("what operators changed cannot be applied; what runs stays as it is", "version", overlay.Tag(), "err", err)
				again = time.After(applyAgain)
			}
			e.tellFleet()
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
		case <-again:
		}
	}
}

func (o *operators) note(overlay control.Overlay, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.applied, o.err = overlay, err
	close(o.more)
	o.more = make(chan struct{})
}

// state returns what was applied, or tried, last.
func (o *operators) state() (overlay control.Overlay, more <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.applied, o.more, o.err
}

// await waits until the overlay of a tag, or a later one, was tried.
func (o *operators) await(ctx context.Context, tag string) error {
	for {
		overlay, more, err := o.state()
		if overlay.Tag() == tag || control.Later(overlay.Tag(), tag) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

// troubles returns what is wrong with what operators change, in words.
func (o *operators) troubles() (all []string) {
	if o.book == nil {
		return nil
	}
	if since, err := o.book.Trouble(); err != nil {
		all = append(all, "what operators change cannot be kept: "+err.Error()+", since "+since.UTC().Format(time.RFC3339))
	}
	if _, _, err := o.state(); err != nil {
		all = append(all, "what operators changed cannot be applied: "+err.Error())
	}
	overlay := o.book.Overlay()
	if overlay.Alone > 0 {
		all = append(all, "changes were made on this sluice alone")
	}
	if unknown := overlay.Unknown(); len(unknown) > 0 {
		all = append(all, "changes that a newer sluice has made are not understood: "+named(unknown))
	}
	return all
}

// tellJournal writes transitions of a pool's backends into the journal.
func tellJournal(j *control.Journal, pool *backend.Pool) {
	pool.OnHistory(func(b *backend.Backend, c backend.Change) {
		msg := "backend " + b.Addr() + " of " + b.Service() + ": " + c.To
		if c.Detail != "" {
			msg += ": " + c.Detail
		}
		j.Add(control.Event{Kind: control.Transition, Message: msg, Service: b.Service(), Backend: b.Addr(), Reason: c.Signal})
	})
}

// tellReload writes a reload into the journal.
func (e *Engine) tellReload(r Report, err error, by, reason string) {
	if e.operators.book == nil {
		return
	}
	msg := fmt.Sprintf("configuration reloaded, %d changes", len(r.Changed))
	if err != nil {
		msg = "the configuration could not be reloaded: " + err.Error()
	}
	e.operators.book.Journal().Add(control.Event{Kind: control.Reloaded, Message: msg, By: by, Reason: reason})
}

// watchContact writes into the journal what troubles sources, and when it ends,
// until ctx ends.
func (e *Engine) watchContact(ctx context.Context) {
	if e.operators.book == nil {
		return
	}
	j := e.operators.book.Journal()
	ticker := time.NewTicker(contactEvery)
	defer ticker.Stop()
	var before []string
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := append(e.services.troubles(), e.tags.troubles()...)
		for _, t := range now {
			if !slices.Contains(before, t) {
				j.Add(control.Event{Kind: control.Contact, Message: "trouble: " + t})
			}
		}
		for _, t := range before {
			if !slices.Contains(now, t) {
				j.Add(control.Event{Kind: control.Contact, Message: "over: " + t})
			}
		}
		before = now
	}
}
