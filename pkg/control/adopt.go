package control

import (
	"context"
	"errors"
	"slices"
	"time"
)

// This file is how a book follows its store: what others write, contact that
// is lost and regained, a store that was wiped or rolled back, and the end of
// changes that have a time to live.

// restoreTimeout bounds one write of what a store has lost.
const restoreTimeout = 5 * time.Second

// Run follows the store and ends changes whose time is over, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.expire(ctx)
	}()
	b.cfg.Store.Follow(ctx, func(o Overlay, err error) {
		if err != nil {
			b.setTrouble(err)
			return
		}
		b.orders.Lock()
		defer b.orders.Unlock()
		b.take(ctx, o)
	})
	<-done
}

// take judges what the store is said to have; b.orders is held.
func (b *Book) take(ctx context.Context, o Overlay) {
	b.mu.Lock()
	kept, trouble := b.kept, b.trouble
	b.mu.Unlock()
	switch {
	case trouble == nil && o.Equal(kept):
	case o.Lineage == kept.Lineage && o.Version >= kept.Version, kept.Lineage == "":
		b.adopt(o)
	case o.Lineage == "" || o.Lineage == kept.Lineage:
		// It was wiped, or is that of before. What is in force stays, and is
		// written again; the highest version wins among several who do.
		b.tell("the store of changes has lost some; they stay in force and are written again", "had", kept.Version, "has", o.Version)
		next := kept
		next.Version = max(kept.Version, o.Version) + 1
		ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
		defer cancel()
		switch err := b.cfg.Store.Swap(ctx, o, next); {
		case err == nil:
			b.adopt(next)
		case errors.Is(err, ErrStale): // somebody else was faster, of which Follow tells
		default:
			b.setTrouble(err)
		}
	default:
		b.tell("the store of changes was begun anew; what it has holds, and what was in force before does not",
			"lost", kept.Len(), "has", o.Len())
		b.mu.Lock()
		b.told = 0
		b.mu.Unlock()
		b.adopt(o)
	}
}

// adopt makes o what is known to be kept, and tells of what is new in it.
func (b *Book) adopt(o Overlay) {
	b.mu.Lock()
	if b.trouble != nil {
		b.cfg.Logger.Info("changes can be kept again", "kept", b.cfg.Store.Name(), "after", time.Since(b.since))
		b.cfg.Journal.Add(Event{Kind: Contact, Message: "changes can be kept again: " + b.cfg.Store.Name()})
		b.trouble = nil
	}
	var fresh []Record
	for _, r := range o.recent {
		if r.Version > b.told {
			fresh = append(fresh, r)
		}
	}
	b.told = max(b.told, o.Version)
	b.kept = o
	alone := !b.local.isEmpty()
	b.mu.Unlock()
	for _, r := range fresh { // before anybody is woken, who may ask for them
		b.tellRecord(r, "")
	}
	b.mu.Lock()
	close(b.more)
	b.more = make(chan struct{})
	b.mu.Unlock()
	if alone {
		go b.reconcile()
	}
}

// tellRecord writes one line of the log and one entry of the journal.
func (b *Book) tellRecord(r Record, local Local) {
	by, reason := r.By, r.Reason
	msg := map[Op]string{WasSet: "a change came into force", Undone: "a change was undone", Expired: "a change has undone itself: its time is over"}[r.Op]
	c := r.Change
	attrs := []any{"op", string(r.Op), "target", string(c.Target.Kind), "what", string(c.What), "value", c.Value, "by", by, "reason", reason, "version", r.Version}
	if c.Target.Service != "" {
		attrs = append(attrs, "service", c.Target.Service)
	}
	if c.Target.Name != "" {
		attrs = append(attrs, string(c.Target.Kind), c.Target.Name)
	}
	if !c.Expires.IsZero() {
		attrs = append(attrs, "expires", c.Expires.UTC().Format(time.RFC3339))
	}
	if local != "" {
		attrs = append(attrs, "local", string(local))
	}
	b.cfg.Logger.Info(msg, attrs...)
	e := Event{At: r.At, Kind: Changed, Message: msg + ": " + c.String(), Service: c.Target.Service, By: by, Reason: reason, Op: r.Op, Change: &c, Version: r.Version}
	if c.Target.Kind == OfBackend {
		e.Backend = c.Target.Name
	}
	b.cfg.Journal.Add(e)
	b.metrics.count(r)
}

func (b *Book) tell(msg string, attrs ...any) {
	b.cfg.Logger.Warn(msg, append(attrs, "kept", b.cfg.Store.Name())...)
	b.cfg.Journal.Add(Event{Kind: Told, Message: msg})
}

// setTrouble notes that the store cannot be used, once.
func (b *Book) setTrouble(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trouble == nil {
		b.since, b.base = time.Now(), b.kept
		b.cfg.Logger.Warn("changes cannot be kept; those in force stay", "kept", b.cfg.Store.Name(), "err", err)
		b.cfg.Journal.Add(Event{Kind: Contact, Message: "changes cannot be kept: " + err.Error()})
	}
	b.trouble = err
}

// keepLocal makes changes here alone.
func (b *Book) keepLocal(local Overlay, e Edit, then Local) Overlay {
	e.Set = slices.Clone(e.Set)
	for i := range e.Set {
		e.Set[i].Local = then
	}
	next := local.With(e)
	b.mu.Lock()
	next.undone = slices.Clone(local.undone)
	for _, c := range e.Set {
		next.undone = slices.DeleteFunc(next.undone, func(u Change) bool { return u.Key() == c.Key() })
	}
	for _, k := range e.Undo {
		c, kept := b.kept.Get(k)
		if _, again := next.Get(k); !kept || again {
			continue
		}
		c.Local, c.By, c.Reason = then, e.By, e.Reason
		next.undone = append(slices.DeleteFunc(next.undone, func(u Change) bool { return u.Key() == k }), c)
		if _, own := local.Get(k); !own {
			next.Version = max(next.Version, local.Version+1)
			next.recent = append(slices.Clone(next.recent), Record{Version: next.Version, At: e.At, Op: Undone, By: e.By, Reason: e.Reason, Change: c})
		}
	}
	b.local = next
	close(b.more)
	b.more = make(chan struct{})
	b.mu.Unlock()
	for _, r := range next.recent {
		if r.Version > local.Version {
			b.tellRecord(r, then)
		}
	}
	return next
}

// dropLocal forgets what was made here alone of what an edit is about, once
// that is kept.
func (b *Book) dropLocal(e Edit) {
	b.mu.Lock()
	local := b.local
	if local.isEmpty() {
		b.mu.Unlock()
		return
	}
	local.changes = slices.Clone(local.changes)
	var gone []Change
	drop := func(k Key) {
		if c, ok := local.take(k); ok {
			gone = append(gone, c)
		}
		local.undone = slices.DeleteFunc(slices.Clone(local.undone), func(u Change) bool { return u.Key() == k })
	}
	for _, k := range e.Undo {
		drop(k)
	}
	for _, c := range e.Set {
		drop(c.Key())
		for _, w := range opposites(c.What) {
			drop(Key{c.Target, w})
		}
	}
	local.Version++
	b.local = local
	close(b.more)
	b.more = make(chan struct{})
	b.mu.Unlock()
	for _, c := range gone {
		b.tellRecord(Record{Version: local.Version, At: e.At, Op: Undone, By: e.By, Reason: e.Reason, Change: c}, c.Local)
	}
}

// reconcile merges what was made here alone into what is kept, or drops it, as
// was asked. What the others have changed meanwhile holds.
func (b *Book) reconcile() {
	b.orders.Lock()
	defer b.orders.Unlock()
	b.mu.Lock()
	local, base, kept := b.local, b.base, b.kept
	b.mu.Unlock()
	if local.isEmpty() {
		return
	}
	now := time.Now()
	e := Edit{At: now}
	merges := func(c Change) bool {
		was, had := base.Get(c.Key())
		is, has := kept.Get(c.Key())
		switch {
		case c.Local == Drop:
			b.tell("a change that was made here alone is dropped, as was asked: " + c.String())
		case had != has || had && was.Version != is.Version:
			b.tell("a change that was made here alone is dropped: others have changed the same meanwhile: " + c.String())
		default:
			return true
		}
		return false
	}
	for _, c := range local.undone {
		if merges(c) {
			e.Undo = append(e.Undo, c.Key())
			e.By, e.Reason = c.By, c.Reason
		}
	}
	for _, c := range local.Active(now).changes {
		if merges(c) {
			c.Local = ""
			e.Set = append(e.Set, c)
		}
	}
	next := kept.With(e)
	if next.Lineage == "" {
		next.Lineage = newLineage()
	}
	if next.Version != kept.Version {
		ctx, cancel := context.WithTimeout(context.Background(), restoreTimeout)
		defer cancel()
		switch err := b.cfg.Store.Swap(ctx, kept, next); {
		case errors.Is(err, ErrStale):
			return // what the others wrote comes, and then this is tried again
		case err != nil:
			b.setTrouble(err)
			return
		}
	}
	b.mu.Lock()
	b.local = Overlay{}
	b.mu.Unlock()
	b.adopt(next)
}

// expire ends changes whose time is over.
func (b *Book) expire(ctx context.Context) {
	for {
		b.mu.Lock()
		now := time.Now()
		next, more := b.kept.Under(b.local).NextExpiry(), b.more
		b.mu.Unlock()
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(max(next.Sub(now), 0))
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
			continue
		case <-timer:
			if b.endExpired(ctx) {
				continue
			}
			select { // no faster than that
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// endExpired writes that changes have ended. Where that cannot be, they have
// no effect all the same, and it reports false.
func (b *Book) endExpired(ctx context.Context) bool {
	b.orders.Lock()
	defer b.orders.Unlock()
	now := time.Now()
	b.mu.Lock()
	before := b.local.Version
	local, ended := b.local.Expire(now)
	b.local = local
	kept, trouble := b.kept, b.trouble
	close(b.more) // Overlay answers otherwise now
	b.more = make(chan struct{})
	b.mu.Unlock()
	if ended {
		for _, r := range local.recent {
			if r.Version > before {
				b.tellRecord(r, r.Change.Local)
			}
		}
	}
	next, ended := kept.Expire(now)
	if !ended {
		return true
	}
	err := trouble
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
		defer cancel()
		if err = b.cfg.Store.Swap(ctx, kept, next); err == nil {
			b.adopt(next)
			return true
		}
	}
	if errors.Is(err, ErrStale) {
		return b.refresh(ctx) == nil
	}
	if !errors.Is(err, ErrNotKept) {
		b.setTrouble(err)
	}
	return false
}
