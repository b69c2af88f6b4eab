package backend

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// Status is what the source of membership says of a member.
type Status uint8

// The four states of Consul's aggregated checks, and Absent: the source lists
// the member no more, but cannot be sure that it means it. A source that has no
// opinion of its own, such as a static list, says Passing.
const (
	Passing Status = iota
	Warning
	Critical
	Maintenance
	Absent
)

// String returns the status in lower case, as Consul spells it.
func (s Status) String() string {
	switch s {
	case Passing:
		return "passing"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	case Maintenance:
		return "maintenance"
	case Absent:
		return "absent"
	}
	return fmt.Sprintf("status(%d)", s)
}

// State is sluice's own opinion of a backend, after hysteresis.
type State uint8

// A backend is Unknown until its first check ends, and Unchecked if its
// service has no check.
const (
	Unknown State = iota
	Up
	Down
	Unchecked
)

// States lists every State, for whoever writes one metric series for each.
func States() []State { return []State{Unknown, Up, Down, Unchecked} }

// String returns the state in lower case, as metrics and logs show it.
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Up:
		return "up"
	case Down:
		return "down"
	case Unchecked:
		return "unchecked"
	}
	return fmt.Sprintf("state(%d)", s)
}

// MaxWeight is the largest weight a target can have, Consul's own limit.
const MaxWeight = 65535

// Target is one member of a service as a source of membership reports it.
type Target struct {
	// ID names the member within its service and survives changes of the
	// fields below, all but Address.
	ID string
	// Address is host:port. A target whose address changed is a new backend.
	Address string
	// Weight is the member's share relative to the others, 0 to MaxWeight.
	// 0 means no new connections.
	Weight int
	// Spare is the weight of a member in warning whose Weight of 0 nobody chose,
	// if nobody else is left; otherwise 0.
	Spare int
	// Zone is where the member runs, for instance an availability zone; it
	// may be empty.
	Zone string
	// Status is the source's own word on the member's health.
	Status Status
	// Priority is the member's tier, from 0: those of a later one get new
	// connections only while none of an earlier one is available.
	Priority int
	// Protocol is what is spoken with the member where HTTP leads to it.
	Protocol Protocol
	// SkipVerify says that the member's certificate is believed unseen, and
	// ServerName which name it is to prove, whatever is said for its service.
	SkipVerify bool
	ServerName string
}

// Condition is what health knows of a backend, and why.
type Condition struct {
	State State
	// Since is when State was entered.
	Since time.Time
	// Streak is how many results in a row led to State.
	Streak int
	// Signal names what led to State, for instance "tcp check".
	Signal string
	// Detail is the last error of the streak, empty when State is Up.
	Detail string
	// Rise is how many passes in a row it took, when State became Down, to
	// leave it: more for a backend that flaps. It is 0 for other states.
	Rise int
	// Unreachable says that State is Down because no connection could be made.
	Unreachable bool
	// Ejection is set by Eject and ended by Readmit; SetCondition leaves it
	// as it is.
	Ejection Ejection
	// Word is set by Say; SetCondition leaves it as it is.
	Word Word
}

// Counters count what passed through a backend since it was first seen. All
// fields are safe for concurrent use.
type Counters struct {
	Connections     atomic.Uint64 // connections established by the data path
	ConnectFailures atomic.Uint64 // connection attempts of the data path that failed
	BytesIn         atomic.Uint64 // bytes from clients to the backend
	BytesOut        atomic.Uint64 // bytes from the backend to clients
	ChecksPassed    atomic.Uint64 // active checks that passed
	ChecksFailed    atomic.Uint64 // active checks that failed
	WentUp          atomic.Uint64 // transitions to Up
	WentDown        atomic.Uint64 // transitions to Down
	Ejected         atomic.Uint64 // times that live traffic got it ejected
	Readmitted      atomic.Uint64 // times that such an ejection ended
	// LastCheck is when an active check last ended, in nanoseconds since 1970;
	// 0 if none has.
	LastCheck atomic.Int64
}

// Backend is one member of a service. It is created by Pool.Set, lives until
// a later Set leaves it out, and may be held longer by the connections it
// still serves. All methods are safe for concurrent use.
type Backend struct {
	// Counters are written by the data path and by health.
	Counters Counters
	// Conns are counted by whoever has them.
	Conns Conns

	id        string
	addr      string
	addrPort  netip.AddrPort // of addr; not valid if its host is a name
	pool      *Pool
	suspected chan struct{} // capacity 1; a token means "check me now"
	alarms    chan struct{} // capacity 1; a token means "judge my streak"
	name      name          // of addr, if its host or port is one

	target     atomic.Pointer[Target]
	condition  atomic.Pointer[Condition]
	order      atomic.Pointer[Order] // an operator's; nil: none
	history    history
	said       said
	unanswered unanswered
	ledger     atomic.Pointer[ledger] // nil until something failed in the pool

	_        [64]byte // keeps slots, written at every pick, off the lines above
	slots    slotWord
	outcomes outcomes // beside slots: who compares backends reads both
	streak   streak
	warming  warming
	_        [16]byte
}

func newBackend(p *Pool, t Target) *Backend {
	b := &Backend{id: t.ID, addr: t.Address, pool: p, suspected: make(chan struct{}, 1), alarms: make(chan struct{}, 1)}
	b.addrPort, _ = netip.ParseAddrPort(t.Address)
	b.target.Store(&t)
	b.said.since.Store(time.Now().UnixNano())
	b.condition.Store(&Condition{State: Unknown, Since: time.Now()})
	return b
}

// ID returns the member's name within its service.
func (b *Backend) ID() string { return b.id }

// Addr returns the address, host:port, to which connections are made.
func (b *Backend) Addr() string { return b.addr }

// AddrPort returns the address in parsed form. It is not valid if the host is
// a name, for which there are Known and Addresses.
func (b *Backend) AddrPort() netip.AddrPort { return b.addrPort }

// Service returns the name of the service that the backend belongs to.
func (b *Backend) Service() string { return b.pool.service }

// Target returns the member as its source last reported it.
func (b *Backend) Target() Target { return *b.target.Load() }

// Weight returns the current weight, 0 to MaxWeight, as an operator has it or
// else the source.
func (b *Backend) Weight() int {
	w := b.order.Load().weigh(b.target.Load().Weight)
	if w > 0 {
		return min(max(1, int(w)), MaxWeight)
	}
	return 0
}

// Condition returns what health knows of the backend.
func (b *Backend) Condition() Condition { return *b.condition.Load() }

// State returns the current state after hysteresis.
func (b *Backend) State() State { return b.condition.Load().State }

// SetCondition publishes a new condition and, if the state changed, counts and
// remembers the transition, and makes the pool offer or withhold the backend
// before it returns. A change that makes no difference to the pool, such as the
// first check that passes, makes no new snapshot: a thousand backends pass
// theirs within seconds of a start. Failures from before b went Up are
// forgotten. It is for pkg/health alone.
func (b *Backend) SetCondition(c Condition) {
	old := b.condition.Load()
	c.Ejection, c.Word = old.Ejection, old.Word
	b.condition.Store(&c)
	if old.State == c.State {
		return
	}
	b.remember(Change{At: c.Since, To: c.State.String(), Streak: c.Streak, Signal: c.Signal, Detail: c.Detail})
	switch c.State {
	case Up:
		b.forgive()
		b.Counters.WentUp.Add(1)
	case Down:
		b.Counters.WentDown.Add(1)
	}
	// The target is looked at after the condition was stored: if it changes
	// later, whoever changes it sees the condition.
	if t, o := b.target.Load(), b.order.Load(); standingOf(t, old, o) != standingOf(t, &c, o) || t.spares() {
		b.pool.refresh()
	}
}

// Eligible reports whether the backend may take new connections by itself,
// whatever the pool's policy makes of that, and if not, why, in words for an
// operator.
func (b *Backend) Eligible() (ok bool, why string) {
	t, c := b.target.Load(), b.condition.Load()
	verdict, standing := Decide(t.Status, c.State), b.standing()
	switch {
	case standing == available:
		return true, ""
	case b.order.Load().out():
		return false, b.Order().words()
	case verdict == Drain:
		return false, "the registry says " + t.Status.String()
	case c.State == Down:
		return false, fmt.Sprintf("%s: %d failures in a row, last: %s", c.Signal, c.Streak, c.Detail)
	case verdict == Remove:
		return false, "the registry no longer lists it, and no check of sluice's own vouches for it"
	case c.Word.Drain:
		return false, "it says itself that it is draining"
	case standing == ejected:
		e := c.Ejection
		return false, fmt.Sprintf("ejected until %s, time %d: %s, %d in a row", TimeOfDay(e.Until).UTC().Format(time.RFC3339), e.Number, e.Cause, e.Streak)
	}
	if t.spares() {
		return false, fmt.Sprintf("the registry says warning, and its weight then is 0, which nobody need have chosen; it serves by its weight of %d if nobody else is left", t.Spare)
	}
	if o := b.Order(); o.Reweigh != (Reweigh{}) {
		return false, o.words()
	}
	return false, "its weight is 0"
}

// Acquire takes a slot: one more connection or request that the backend
// serves. Strategies call it as they choose; whoever got the backend from a
// pick calls Release exactly once.
func (b *Backend) Acquire() { b.slots.take() }

// Release gives back a slot taken by Acquire.
func (b *Backend) Release() {
	if !b.slots.give() {
		panic("BUG: backend slot released twice")
	}
	if b.pool.slots.waiting.Load() > 0 {
		b.pool.WakeNext()
	}
}

// Active returns how many slots are taken.
func (b *Backend) Active() int64 { return b.slots.taken() }

// Picked returns how many slots were ever taken: connections and requests that
// were given to the backend, retries and those that failed included.
func (b *Backend) Picked() uint64 { return b.slots.ever() }

// Suspect asks health to check the backend at once. It never blocks.
func (b *Backend) Suspect() {
	select {
	case b.suspected <- struct{}{}:
	default: // a check has been asked for already
	}
}

// Suspected yields a token after a ReportConnectFailure or Suspect; tokens do not queue.
// It is for the backend's check loop alone.
func (b *Backend) Suspected() <-chan struct{} { return b.suspected }
