package control

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"
)

// maxEvents is how many events a journal keeps.
const maxEvents = 1024

// Event is something that happened.
type Event struct {
	// Seq numbers the events of a journal, from 1 without a gap.
	Seq uint64 `json:"seq"`
	// At is when it happened.
	At time.Time `json:"at"`
	// Kind is what kind of event it is.
	Kind EventKind `json:"kind"`
	// Message says what happened, in words.
	Message string `json:"message"`
	// Service and Backend say to whom; they may be empty.
	Service string `json:"service,omitempty"`
	Backend string `json:"backend,omitempty"`
	// By and Reason say who did it and why, if somebody did.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Op and Change are of a change.
	Op     Op      `json:"op,omitempty"`
	Change *Change `json:"change,omitempty"`
	// Version is that of the overlay since then, of a change.
	Version uint64 `json:"version,omitempty"`
}

// EventKind is what kind of event one is.
type EventKind string

// The kinds of events.
const (
	Changed    EventKind = "change"     // an operator's change came into force, or ended
	Transition EventKind = "transition" // a backend's state changed
	Reloaded   EventKind = "reload"     // the configuration was read again
	Contact    EventKind = "contact"    // with Consul, lost or regained
	Told       EventKind = "note"       // anything else that an operator should know
)

// EventKinds lists every EventKind.
func EventKinds() []EventKind { return []EventKind{Changed, Transition, Reloaded, Contact, Told} }

// Journal is a bounded list of events. All methods are safe for concurrent
// use.
type Journal struct {
	id string

	// mu protects the fields below.
	mu     sync.Mutex
	events []Event // a ring, once it is full
	next   uint64  // the Seq of the next event
	more   chan struct{}
}

// NewJournal returns an empty journal.
func NewJournal() *Journal {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return &Journal{id: hex.EncodeToString(b[:]), next: 1, more: make(chan struct{})}
}

// ID names the journal, so that sequence numbers of an earlier process are not
// taken for its own.
func (j *Journal) ID() string { return j.id }

// Add appends an event and returns its number. Seq is set, and At if it is
// zero.
func (j *Journal) Add(e Event) uint64 {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.At = e.At.UTC()
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Seq = j.next
	j.next++
	if len(j.events) < maxEvents {
		j.events = append(j.events, e)
	} else {
		j.events[(e.Seq-1)%maxEvents] = e
	}
	close(j.more)
	j.more = make(chan struct{})
	return e.Seq
}

// After returns the events with numbers above seq, the oldest first, at most
// limit of them, the number of those that are lost because the journal is
// bounded, and a channel that is closed with the next event.
func (j *Journal) After(seq uint64, limit int) (events []Event, lost uint64, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	first := j.next - uint64(len(j.events))
	if seq+1 < first {
		lost = first - seq - 1
		seq = first - 1
	}
	for n := seq + 1; n < j.next && len(events) < limit; n++ {
		events = append(events, j.events[(n-1)%maxEvents])
	}
	return events, lost, j.more
}

// Last returns the number of the latest event, 0 if there is none.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next - 1
}
