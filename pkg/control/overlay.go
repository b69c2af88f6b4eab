package control

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of an overlay, so that it fits into one key of Consul's KV.
const (
	maxChanges = 1000
	maxRecent  = 100
)

// Overlay is all changes in force. It is a value: methods return others and
// never change it. Its zero value holds nothing.
type Overlay struct {
	// Version counts writes within a lineage; 0 means that nothing was ever
	// written.
	Version uint64
	// Lineage names the history that Version counts in.
	Lineage string
	// Alone counts what was made here alone and lies over it; 0 if nothing does.
	Alone uint64
	// changes are ordered by key and never changed in place.
	changes []Change
	// undone are changes that do not hold although the overlay below has them;
	// only what was made here alone has some.
	undone []Change
	// recent are the latest records, the oldest first, never changed in place.
	recent []Record
	// unknown are changes of kinds that only a newer sluice knows, kept as they
	// are.
	unknown []rawChange
}

// Op is what became of a change.
type Op string

// What becomes of changes.
const (
	WasSet  Op = "set"
	Undone  Op = "undo"
	Expired Op = "expire"
)

// Record is one step in the history of an overlay.
type Record struct {
	Version uint64
	At      time.Time
	Op      Op
	By      string // who did it
	Reason  string
	Change  Change
}

// Changes returns the changes in force, ordered by their keys. It must not be
// written to.
func (o Overlay) Changes() []Change { return o.changes }

// Recent returns the latest records, the oldest first. It must not be written
// to.
func (o Overlay) Recent() []Record { return o.recent }

// Len returns how many changes are in force.
func (o Overlay) Len() int { return len(o.changes) }

// Get returns the change of a key.
func (o Overlay) Get(k Key) (Change, bool) {
	i, ok := slices.BinarySearchFunc(o.changes, k, func(c Change, k Key) int { return compare(c.Key(), k) })
	if !ok {
		return Change{}, false
	}
	return o.changes[i], true
}

// Equal reports whether o and p are the same in every respect but the records.
func (o Overlay) Equal(p Overlay) bool {
	return o.Version == p.Version && o.Lineage == p.Lineage && o.SameChanges(p)
}

// Tag returns what stands for o in If-Match and ETag: its version, and what is
// counted of changes made here alone.
func (o Overlay) Tag() string {
	tag := strconv.FormatUint(o.Version, 10)
	if o.Alone != 0 {
		tag += "+" + strconv.FormatUint(o.Alone, 10)
	}
	return tag
}

// SameChanges reports whether the same changes are in force.
func (o Overlay) SameChanges(p Overlay) bool {
	return slices.EqualFunc(o.changes, p.changes, func(a, b Change) bool {
		return a.At.Equal(b.At) && a.Expires.Equal(b.Expires) && withoutTimes(a) == withoutTimes(b)
	})
}

func withoutTimes(c Change) Change {
	c.At, c.Expires = time.Time{}, time.Time{}
	return c
}

// String returns the changes in force, one a line.
func (o Overlay) String() string {
	var b strings.Builder
	for _, c := range o.changes {
		b.WriteString(c.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Edit is what one order does to an overlay, all of it or nothing.
type Edit struct {
	Set  []Change
	Undo []Key
	// By and Reason say who undoes and why.
	By, Reason string
	// At is when it is done.
	At time.Time
}

// With returns o with an edit applied, as the next version. What takes the
// place of something else, as a removal does of an addition, undoes that. A
// change that is in force already, with the same value and time to live, stays
// as it is, and so does the overlay if there is nothing else.
func (o Overlay) With(e Edit) Overlay {
	next := o
	next.Version++
	next.changes = slices.Clone(o.changes)
	next.recent = slices.Clone(o.recent)
	changed := false
	record := func(op Op, c Change, by, reason string) {
		changed = true
		next.recent = append(next.recent, Record{Version: next.Version, At: e.At, Op: op, By: by, Reason: reason, Change: c})
	}
	for _, k := range e.Undo {
		if c, ok := next.take(k); ok {
			record(Undone, c, e.By, e.Reason)
		}
	}
	for _, c := range e.Set {
		if old, ok := next.Get(c.Key()); ok && old.sameWord(c) && old.Local == c.Local {
			continue
		}
		for _, w := range opposites(c.What) {
			if old, ok := next.take(Key{c.Target, w}); ok {
				record(Undone, old, c.By, c.Reason)
			}
		}
		c.Version = next.Version
		next.put(c)
		record(WasSet, c, c.By, c.Reason)
	}
	if !changed {
		return o
	}
	if n := len(next.recent) - maxRecent; n > 0 {
		next.recent = next.recent[n:]
	}
	return next
}

// opposites are what cannot be in force beside w.
func opposites(w What) []What {
	switch w {
	case Add:
		return []What{Remove}
	case Remove:
		return []What{Add, Drain, Weight, Force, Eject, Set}
	case Set:
		return []What{Remove}
	case Readmit:
		return []What{Eject}
	case Eject:
		return []What{Readmit}
	}
	return nil
}

// Expire returns o without what has undone itself by now, as the next version,
// and whether there is anything.
func (o Overlay) Expire(now time.Time) (Overlay, bool) {
	if !slices.ContainsFunc(o.changes, func(c Change) bool { return c.Expired(now) }) {
		return o, false
	}
	next := o
	next.Version++
	next.changes = nil
	next.recent = slices.Clone(o.recent)
	for _, c := range o.changes {
		if !c.Expired(now) {
			next.changes = append(next.changes, c)
			continue
		}
		next.recent = append(next.recent, Record{Version: next.Version, At: now, Op: Expired, Change: c})
	}
	if n := len(next.recent) - maxRecent; n > 0 {
		next.recent = next.recent[n:]
	}
	return next, true
}

// Active returns o without what has undone itself by now, as the same version:
// what is in force even if nobody could write so.
func (o Overlay) Active(now time.Time) Overlay {
	if slices.ContainsFunc(o.changes, func(c Change) bool { return c.Expired(now) }) {
		o.changes = slices.DeleteFunc(slices.Clone(o.changes), func(c Change) bool { return c.Expired(now) })
	}
	return o
}

// Without returns o without its changes of some kinds of targets, as the same
// version.
func (o Overlay) Without(kinds ...Kind) Overlay {
	o.changes = slices.DeleteFunc(slices.Clone(o.changes), func(c Change) bool { return slices.Contains(kinds, c.Target.Kind) })
	return o
}

// NextExpiry returns when the next change undoes itself, zero if none does.
func (o Overlay) NextExpiry() (next time.Time) {
	for _, c := range o.changes {
		if !c.Expires.IsZero() && (next.IsZero() || c.Expires.Before(next)) {
			next = c.Expires
		}
	}
	return next
}

// Under returns o with the changes of a sluice of its own laid over it.
func (o Overlay) Under(local Overlay) Overlay {
	if local.isEmpty() {
		return o
	}
	o.Alone = local.Version
	o.changes = slices.Clone(o.changes)
	for _, c := range local.undone {
		o.take(c.Key())
	}
	for _, c := range local.changes {
		for _, w := range opposites(c.What) {
			o.take(Key{c.Target, w})
		}
		o.put(c)
	}
	return o
}

// isEmpty reports whether o, laid over another, makes no difference.
func (o Overlay) isEmpty() bool { return len(o.changes) == 0 && len(o.undone) == 0 }

// take removes the change of a key from o, whose changes are its own.
func (o *Overlay) take(k Key) (Change, bool) {
	i, ok := slices.BinarySearchFunc(o.changes, k, func(c Change, k Key) int { return compare(c.Key(), k) })
	if !ok {
		return Change{}, false
	}
	c := o.changes[i]
	o.changes = slices.Delete(o.changes, i, i+1)
	return c, true
}

// put sets a change of o, whose changes are its own.
func (o *Overlay) put(c Change) {
	i, ok := slices.BinarySearchFunc(o.changes, c.Key(), func(c Change, k Key) int { return compare(c.Key(), k) })
	if ok {
		o.changes[i] = c
	} else {
		o.changes = slices.Insert(o.changes, i, c)
	}
}

func compare(a, b Key) int {
	return cmp.Or(
		cmp.Compare(a.Target.Kind, b.Target.Kind), cmp.Compare(a.Target.Service, b.Target.Service),
		cmp.Compare(a.Target.Name, b.Target.Name), cmp.Compare(a.What, b.What),
	)
}

// of yields the changes of one target.
func (o Overlay) of(t Target, f func(Change)) {
	i, _ := slices.BinarySearchFunc(o.changes, Key{Target: t}, func(c Change, k Key) int { return compare(c.Key(), k) })
	for ; i < len(o.changes) && o.changes[i].Target == t; i++ {
		f(o.changes[i])
	}
}

// Later reports whether a tag is that of a later overlay than another.
func Later(tag, than string) bool {
	version, alone := parts(tag)
	thanVersion, thanAlone := parts(than)
	return version > thanVersion || version == thanVersion && alone > thanAlone
}

func parts(tag string) (version, alone uint64) {
	v, a, _ := strings.Cut(tag, "+")
	version, _ = strconv.ParseUint(v, 10, 64) // what is no number comes first
	alone, _ = strconv.ParseUint(a, 10, 64)
	return version, alone
}
