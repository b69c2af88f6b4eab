package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// swapAttempts is how often an order without a condition is tried again when
// somebody else was faster.
const swapAttempts = 64

// troubleTimeout is how long an order waits for a store that could not be
// reached.
const troubleTimeout = 2 * time.Second

// Order is what an operator asks for: several changes at once, of which all
// come into force or none.
type Order struct {
	Set  []Change
	Undo []Key
	// All undoes every change in force, beside Undo.
	All bool

	By, Reason string // of Undo; changes have their own
	// IfMatch is the Tag that the overlay must have, or empty for any.
	IfMatch string
	// DryRun judges the order and changes nothing.
	DryRun bool
	// Force does what a Conflict stands against.
	Force bool
	// Local makes the changes here alone if the store cannot be reached, and
	// says what becomes of them when it can; empty refuses them then.
	Local Local
}

// Effect is what an order does to one thing.
type Effect struct {
	Key    Key
	Before *Change // nil: none was in force
	After  *Change // nil: none is
}

// Outcome is what an order did, or would do.
type Outcome struct {
	// Version and Tag are those of the overlay from then on; of a dry run, as
	// it is.
	Version uint64
	Tag     string
	Effects []Effect
	// Before and After are what was and is in force; of a dry run, would be.
	Before, After Overlay
	// Kept says where the changes are kept.
	Kept string
	// Local says that they were made here alone.
	Local bool
	// Warnings say what an operator may not expect.
	Warnings []string
}

// Config describes a Book.
type Config struct {
	// Store must not be nil.
	Store Store
	// Journal must not be nil.
	Journal *Journal
	// Running judges orders against what runs. nil takes all that is
	// well-formed.
	Running Running
	// Logger must not be nil.
	Logger *slog.Logger
	// Metrics gets the book's metrics; nil means nobody.
	Metrics *metrics.Set
}

// Book takes orders and knows the overlay in force. All methods are safe for
// concurrent use.
type Book struct {
	cfg     Config
	orders  sync.Mutex // held while one is judged and written
	metrics bookMetrics

	// mu protects the fields below.
	mu      sync.Mutex
	kept    Overlay // in the store, as last seen
	local   Overlay // made here alone
	base    Overlay // what was kept when contact was lost
	trouble error   // of the store; nil while all is well
	since   time.Time
	told    uint64 // the version up to which records are in the journal
	more    chan struct{}
}

// NewBook returns a book with what its store has. A store that cannot be
// reached is no error: its trouble is shown, and Run follows it.
func NewBook(ctx context.Context, cfg Config) *Book {
	b := &Book{cfg: cfg, more: make(chan struct{})}
	b.metrics.register(cfg.Metrics, b)
	o, err := cfg.Store.Load(ctx)
	if err != nil {
		b.setTrouble(err)
		return b
	}
	b.kept, b.told = o, o.Version
	if n := o.Len(); n > 0 {
		cfg.Logger.Info("changes of operators are in force", "changes", n, "version", o.Version, "kept", cfg.Store.Name())
	}
	return b
}

// Judge sets what orders are judged against, once it runs. It is called before
// the first order.
func (b *Book) Judge(r Running) { b.cfg.Running = r }

// Kept says where changes are kept.
func (b *Book) Kept() string { return b.cfg.Store.Name() }

// Journal returns the journal of the book.
func (b *Book) Journal() *Journal { return b.cfg.Journal }

// Overlay returns what is in force now: what is kept, with what was made here
// alone over it, without what has undone itself.
func (b *Book) Overlay() Overlay {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inForce(time.Now())
}

func (b *Book) inForce(now time.Time) Overlay {
	return b.kept.Active(now).Under(b.local.Active(now))
}

// Wait returns the overlay in force and a channel that is closed when another
// comes into force.
func (b *Book) Wait() (Overlay, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inForce(time.Now()), b.more
}

// Trouble returns what is wrong with the store and since when; nil while all
// is well.
func (b *Book) Trouble() (since time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.trouble
}

// Do does an order. It returns Problems for one that is not well-formed, a
// Conflict for one that cannot be done as things are, and one of the errors of
// this package if it could not be kept; nothing has changed then. After an
// error of ErrNoContact it may still turn out to have.
func (b *Book) Do(ctx context.Context, order Order) (Outcome, error) { return b.do(ctx, order, true) }

// do is Do, and judges the order unless it brings back what was.
func (b *Book) do(ctx context.Context, order Order, judged bool) (Outcome, error) {
	now := time.Now()
	var problems Problems
	order.Set = slices.Clone(order.Set)
	for i, c := range order.Set {
		c.At = now
		c, bad := Check(c, now)
		order.Set[i] = c
		problems = append(problems, bad...)
	}
	if len(problems) > 0 {
		return Outcome{}, problems
	}
	b.orders.Lock()
	defer b.orders.Unlock()
	for range swapAttempts {
		out, err := b.try(ctx, order, now, judged)
		if errors.Is(err, ErrNoContact) && order.Local != "" && !out.Local {
			if out, err = b.try(ctx, order, now, judged); err == nil {
				return out, nil // made here alone
			}
		}
		if !errors.Is(err, ErrStale) || order.IfMatch != "" {
			return out, err
		}
		if err := b.refresh(ctx); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{}, fmt.Errorf("%w: others were faster %d times", ErrStale, swapAttempts)
}

// try does an order upon what is known to be kept; b.orders is held.
func (b *Book) try(ctx context.Context, order Order, now time.Time, judged bool) (Outcome, error) {
	b.mu.Lock()
	kept, local, trouble := b.kept, b.local, b.trouble
	b.mu.Unlock()
	if trouble != nil { // it may be over
		ctx, cancel := context.WithTimeout(ctx, troubleTimeout)
		defer cancel()
		if o, err := b.cfg.Store.Load(ctx); err == nil {
			b.take(ctx, o)
			b.mu.Lock()
			kept, local, trouble = b.kept, b.local, b.trouble
			b.mu.Unlock()
		}
	}
	alone := trouble != nil && order.Local != ""
	if trouble != nil && !alone && !order.DryRun {
		return Outcome{}, trouble
	}
	force := kept.Active(now).Under(local.Active(now))
	if order.IfMatch != "" && order.IfMatch != force.Tag() {
		// It may be ours that is old.
		if trouble != nil || b.refresh(ctx) != nil {
			return Outcome{}, ErrStale
		}
		b.mu.Lock()
		kept, local = b.kept, b.local
		b.mu.Unlock()
		if force = kept.Active(now).Under(local.Active(now)); order.IfMatch != force.Tag() {
			return Outcome{}, ErrStale
		}
	}
	edit := Edit{Set: order.Set, Undo: order.Undo, By: order.By, Reason: order.Reason, At: now}
	if order.All {
		for _, c := range force.changes {
			edit.Undo = append(edit.Undo, c.Key())
		}
	}
	edit = plain(b.cfg.Running, force, edit)
	wanted := force.With(edit)
	out := Outcome{Version: force.Version, Tag: force.Tag(), Effects: effects(force, wanted, edit), Before: force, After: wanted, Kept: b.Kept()}
	if judged {
		warnings, err := b.judge(force, wanted, edit, order)
		if err != nil {
			return Outcome{}, err
		}
		out.Warnings = warnings
	}
	if trouble != nil && !alone {
		out.Warnings = append(out.Warnings, "it could not be kept now: "+trouble.Error())
	}
	if wanted.SameChanges(force) {
		return out, nil // so it is already
	}
	if order.DryRun {
		return out, nil
	}
	if alone {
		out.Tag = kept.Under(b.keepLocal(local, edit, order.Local)).Tag()
		out.Local, out.Kept = true, "memory of this sluice alone, until the "+b.Kept()+" is back"
		return out, nil
	}
	next := kept.With(edit)
	if next.Lineage == "" {
		next.Lineage = newLineage()
	}
	if next.Version != kept.Version {
		if err := b.cfg.Store.Swap(ctx, kept, next); err != nil {
			if errors.Is(err, ErrNoContact) {
				b.setTrouble(err)
			}
			return Outcome{}, err
		}
	}
	b.dropLocal(edit)
	b.adopt(next)
	out.Version, out.Tag = next.Version, b.Overlay().Tag()
	return out, nil
}

// refresh reads what is kept.
func (b *Book) refresh(ctx context.Context) error {
	o, err := b.cfg.Store.Load(ctx)
	if err != nil {
		b.setTrouble(err)
		return err
	}
	b.adopt(o)
	return nil
}

func newLineage() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // it never fails
	return hex.EncodeToString(raw[:])
}

// effects returns what becomes of each key of an edit and of what it displaces.
func effects(before, after Overlay, e Edit) (all []Effect) {
	keys := slices.Clone(e.Undo)
	for _, c := range e.Set {
		keys = append(keys, c.Key())
		for _, w := range opposites(c.What) {
			k := Key{c.Target, w}
			if _, ok := before.Get(k); ok {
				keys = append(keys, k)
			}
		}
	}
	seen := make(map[Key]bool)
	for _, k := range keys {
		if seen[k] {
			continue
		}
		seen[k] = true
		effect := Effect{Key: k}
		if c, ok := before.Get(k); ok {
			effect.Before = &c
		}
		if c, ok := after.Get(k); ok {
			effect.After = &c
		}
		all = append(all, effect)
	}
	return all
}

// Revert brings back what was in force before an outcome, of those things that
// are as the outcome left them.
func (b *Book) Revert(ctx context.Context, out Outcome, by, reason string) error {
	now := b.Overlay()
	order := Order{By: by, Reason: reason, Force: true}
	if out.Local {
		order.Local = Drop
	}
	for _, e := range out.Effects {
		is, has := now.Get(e.Key)
		switch {
		case e.After == nil && has, e.After != nil && (!has || !is.sameWord(*e.After)):
			continue // somebody else has changed it since
		case e.Before != nil:
			order.Set = append(order.Set, *e.Before)
		default:
			order.Undo = append(order.Undo, e.Key)
		}
	}
	_, err := b.do(ctx, order, false)
	return err
}
