package plain

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/backend"
)

// Exchange is one request and its response. The goroutine that has begun it asks
// for the response piece by piece and ends it; all methods are its own.
type Exchange struct {
	p       *Proxy
	c       Client
	t       gate.Ticket
	session *Session

	request
	reply

	awake      chan struct{} // has room for one: a slot may be free, or the exchange was stopped
	watching   bool
	poked      atomic.Bool // somebody wants the wait for the backend to be looked at
	prev, next *Exchange   // in Proxy.active

	// tell protects t while a body is sent.
	tell sync.Mutex
	word
}

// request is what goes to a backend.
type request struct {
	body      Body    // of a request that is streamed; nil without one
	first     []byte  // what goes out right behind the head: a body, or its beginning
	data      []byte  // the body's bytes in first, without framing
	sending   *upload // the rest of it, in a goroutine of its own; nil without one
	sentAt    int64   // when the head went out, as gate.Now.Mono
	connectBy int64   // until when a connection must be there, 0 if none is being made
}

// reply is what goes to the client.
type reply struct {
	out      []byte     // what it gets first: a head, and what came with it
	head     int        // how much of that is the head
	piece    []byte     // what is behind it, without framing
	frame    http1.Body // of the response
	delivery gate.Delivery
	interims int
	state    state
	fault    error // what is wrong with the rest of the response
	flaw     flaw
}

// word is what others leave for the exchange, and may know of it.
type word struct {
	// mu protects the fields below.
	mu     sync.Mutex
	u      *upstream        // in use
	number uint64           // of the requests that were served with this memory
	halted cause            // why the exchange was stopped, if it was
	gone   bool             // the client has ended its direction
	waits  *backend.Backend // whose response is waited for
	stays  *backend.Backend // whose response goes on, or tunnel
}

// state is how far an exchange has come.
type state uint8

const (
	asking     state = iota // there is no response yet
	answered                // sluice's own answer is in out
	responding              // a backend's response is under way
	switched                // the protocol was switched
	aborted                 // the client does not want an answer any more
)

// flaw is what keeps a backend's connection from serving another request.
type flaw uint8

const (
	sound   flaw = iota
	surplus      // bytes came behind the response, or its connection ends with it
	deaf         // not all of the request was taken
	cut          // the response cannot be completed
)

// cause is why an exchange is stopped. Its zero value is none.
type cause struct {
	reason gate.Reason
	err    error
	rescue bool // its backend is down: it is looked for another one
}

// Why an exchange ends.
var (
	errHalfClosed     = errors.New("l7: the client has ended its direction")
	errBackendStalled = errors.New("l7: the backend sends nothing of the response")
	errRequestStalled = errors.New("l7: the client sends nothing of the request")
	errNoResponse     = errors.New("l7: no response in time")
	errTooSlow        = errors.New("l7: the client sends or takes a body too slowly")
	errNoTime         = errors.New("l7: the exchange took too long in all")
	errBroken         = errors.New("l7: the response cannot be completed")
)

// Begin begins an exchange for a request of a client, whose connection is c.
// End ends it.
func (p *Proxy) Begin(c Client, s *Session) *Exchange {
	x := p.exchanges.Get().(*Exchange)
	x.c, x.session = c, s
	now := p.now()
	x.t.Begin(p.gate, &s.Client, now, now.Time)
	p.active.add(x)
	return x
}

// Refuse answers what is no request.
func (x *Exchange) Refuse(r gate.Reason, why string) {
	x.t.Refuse(r, why)
	x.answer()
}

// Malformed answers a head with a fault.
func (x *Exchange) Malformed(f http1.Fault, why string) {
	x.t.Malformed(f, why)
	x.answer()
}

// Abandon ends a request that the client has not finished.
func (x *Exchange) Abandon(r gate.Reason, err error) {
	x.t.Fail(r, err)
	x.state = aborted
}

// Do serves the request with the given head, which it copies, until it is known
// what the client gets: Out has the beginning of that, and Next the rest.
func (x *Exchange) Do(head []byte) {
	defer x.guard()
	x.t.Raw = append(x.t.Raw[:0], head...)
	if f, why := x.t.Req.Parse(x.t.Raw); f != 0 {
		x.Malformed(f, why)
		return
	}
	if x.judge() && x.receive() && x.admit() {
		for x.attempt() {
		}
	}
	if x.state == asking {
		x.answer()
	}
}

// guard ends the exchange after a panic, a defect of ours.
func (x *Exchange) guard() {
	p := recover()
	if p == nil {
		return
	}
	x.p.cfg.Logger.Error("panic while serving a request", "panic", p, "stack", string(debug.Stack()))
	x.flaw = cut
	x.t.Fail(gate.InternalError, fmt.Errorf("panic: %v", p))
	if x.state == asking {
		x.answer()
	} else {
		x.fault = errBroken
	}
}

// judge decides what becomes of the request, and lets it in.
func (x *Exchange) judge() bool {
	if x.t.Judge(x.p.now()) != gate.Forward {
		return false
	}
	d := x.t.Authorise()
	if d == gate.Await {
		d = x.verify()
	}
	return d == gate.Forward
}

// verify waits until the credentials have been verified.
func (x *Exchange) verify() gate.Decision {
	users := make(chan string, 1)
	d := x.t.Verify(func(user string) { users <- user })
	if d != gate.Await {
		return d
	}
	x.watch()
	late := time.NewTimer(gate.AuthWait)
	defer late.Stop()
	for {
		select {
		case user := <-users:
			return x.t.Verified(user)
		case <-late.C:
			return x.t.Overdue(gate.AuthBusy)
		case <-x.awake:
			if c, stopped := x.why(); stopped && !c.rescue {
				return x.t.Fail(c.reason, c.err)
			}
		}
	}
}

// admit hands the request to its service.
func (x *Exchange) admit() bool {
	if x.t.Admit(x.p.now()) != gate.Forward {
		return false
	}
	x.session.service.Store(x.t.Service())
	x.t.Copy(x.data)
	return true
}

// answer makes a response of sluice's own, unless the client is gone.
func (x *Exchange) answer() {
	if r := x.t.Reason(); r == gate.ClientAbort || r == gate.ClientStalled || r == gate.Draining {
		x.state = aborted
		return
	}
	x.discard()
	x.state = answered
	x.out = x.t.AppendAnswer(x.out[:0], x.p.now())
	x.head = bytes.Index(x.out, []byte("\r\n\r\n")) + 4
	x.piece = x.out[x.head:]
}

// Out returns what the client gets first.
func (x *Exchange) Out() []byte { return x.out }

// Next returns the next piece of what the client gets, framed as HTTP/1.x frames
// it, and io.EOF after the last. The piece is good until the next call. Any other
// error says that the response cannot be completed: the client's connection is to
// end, and to be reset if Resets says so.
func (x *Exchange) Next() ([]byte, error) {
	data, err := x.Read()
	if err != nil || x.delivery != gate.InChunks {
		return data, err
	}
	return http1.Frame(x.u.buf, data, &x.frame), nil
}

// Aborted reports whether nothing is to be said to the client any more.
func (x *Exchange) Aborted() bool { return x.state == aborted }

// Resets reports whether the client's connection is to be reset, because its end
// would be taken for the end of a response.
func (x *Exchange) Resets() bool {
	return x.delivery == gate.UntilClose && x.flaw == cut || x.state == switched || x.t.Reason() == gate.ClientTooSlow
}

// Closes reports whether no request is to follow on the client's connection.
func (x *Exchange) Closes() bool {
	x.tell.Lock()
	defer x.tell.Unlock()
	return x.state == aborted || !x.t.Whole() || x.t.Closes()
}

// Whole reports whether all of the request has come.
func (x *Exchange) Whole() bool { return x.isWhole() }

// Bodied reports whether the request has a body.
func (x *Exchange) Bodied() bool { return x.t.Req.Length != http1.NoLength }

// Status returns the status that the client gets, or 0.
func (x *Exchange) Status() int { return x.t.Status() }

// Limits returns what the request has time for.
func (x *Exchange) Limits() *gate.Limits { return x.t.Limits() }

// BackendBroken reports whether the backend's connection was reset, as who waits
// for the client to take something may ask now and then: what has come may be all
// of the response, and has a little time to be taken.
func (x *Exchange) BackendBroken() bool { return x.state != answered && x.u != nil && x.u.isBroken() }

// Stopped reports whether the exchange is to end at once, and what ClientFailed
// is to be told then.
func (x *Exchange) Stopped() (r gate.Reason, err error, stopped bool) {
	c, stopped := x.why()
	if c.rescue {
		return gate.None, nil, false
	}
	return c.reason, c.err, stopped
}

// BrokeOff tells that the response was not delivered because its backend has
// broken.
func (x *Exchange) BrokeOff() { _ = x.truncated(syscall.ECONNRESET) }

// ClientFailed tells that the client could not be sent what it gets, for the
// reason r.
func (x *Exchange) ClientFailed(r gate.Reason, err error) {
	if c, stopped := x.why(); stopped && !c.rescue {
		r, err = c.reason, c.err
	}
	x.t.Fail(r, err)
	x.flaw = cut
}

// End ends the exchange, whatever has come of it.
func (x *Exchange) End() {
	x.unwatch()
	x.endUpload()
	x.letGo()
	x.p.active.remove(x)
	x.session.service.Store(nil)
	x.session.backend.Store(nil)
	x.t.End(x.p.now())
	x.reset()
	x.p.exchanges.Put(x)
}

// reset empties the exchange, but keeps its memory.
func (x *Exchange) reset() {
	select {
	case <-x.awake:
	default:
	}
	if cap(x.out) > worthKeeping {
		x.out = nil
	}
	x.c, x.session, x.body, x.first, x.data, x.sending, x.sentAt, x.connectBy = nil, nil, nil, nil, nil, nil, 0, 0
	x.out, x.head, x.piece, x.frame, x.delivery, x.interims = x.out[:0], 0, nil, http1.Body{}, gate.AsItIs, 0
	x.state, x.fault, x.flaw = asking, nil, sound
	x.poked.Store(false)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.number++
	x.halted, x.gone, x.waits, x.stays = cause{}, false, nil, nil
}

// worthKeeping is how large memory is at most that is kept for another exchange,
// in bytes.
const worthKeeping = 16 << 10

// by returns the moment at which d is over, from now on, or all the time that the
// exchange has, if that is earlier.
func (x *Exchange) by(d time.Duration) time.Time { return x.within(time.Now(), d) }

// within is by, from start on.
func (x *Exchange) within(start time.Time, d time.Duration) time.Time {
	if total := x.t.Limits().Total; total < gate.Forever {
		d = min(d, time.Duration(x.t.Began()+int64(total))-start.Sub(x.p.start))
	}
	return start.Add(d)
}

// isOutOfTime reports whether the exchange has taken longer in all than it may.
func (x *Exchange) isOutOfTime() bool {
	total := x.t.Limits().Total
	return total < gate.Forever && x.p.now().Mono-x.t.Began() >= int64(total)
}

// outOfTime is isOutOfTime, and ends the exchange then.
func (x *Exchange) outOfTime() bool {
	if !x.isOutOfTime() {
		return false
	}
	r := gate.TotalTimeout
	if !x.isWhole() && x.state == asking {
		r = gate.RequestTimeout
	}
	x.t.Fail(r, errNoTime)
	return true
}

// Failed reports whether the response, or what came of a switch of protocols, did
// not end as it should.
func (x *Exchange) Failed() bool { return x.flaw == cut }
