package plain

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"sluice/l7/gate"
	"sluice/pkg/backend"
	"sluice/pkg/reactor"
)

// attempt makes an attempt at getting a response, from the backend that the gate
// picks. It reports whether there is to be another one.
func (x *Exchange) attempt() (again bool) {
	u := x.goOn()
	if u == nil && x.pick() != gate.Forward {
		return false
	}
	x.session.backend.Store(x.t.Backend())
	d := gate.Forward
	if u == nil {
		if u, d = x.connect(); u == nil {
			return d == gate.Retry
		}
	}
	x.use(u)
	d = x.send()
	if d == gate.Forward {
		d = x.await()
	}
	if d == gate.Forward {
		return false // there is a response
	}
	x.endUpload()
	x.letGo()
	return d == gate.Retry
}

// pick waits for a backend.
func (x *Exchange) pick() gate.Decision {
	for {
		d := x.t.Pick(x.p.now())
		if d != gate.Await {
			return d
		}
		if d = x.t.Await(x.p.now(), x); d != gate.Await {
			return d
		}
		if d = x.queue(); d != gate.Await {
			return d
		}
	}
}

// Wake is told that a slot may be free; see attempt.Waker.
func (x *Exchange) Wake() bool {
	select {
	case x.awake <- struct{}{}:
	default:
	}
	return true
}

// queue waits until a slot may be free: Await says so.
func (x *Exchange) queue() gate.Decision {
	x.watch()
	late := time.NewTimer(min(x.t.QueueTime(x.p.now()), time.Until(x.by(gate.Forever))))
	defer late.Stop()
	for {
		select {
		case <-x.awake:
			if c, stopped := x.why(); stopped && !c.rescue {
				x.t.LeaveQueue()
				return x.t.Fail(c.reason, c.err)
			}
			if x.t.Woken() {
				return gate.Await
			}
		case <-late.C:
			x.t.LeaveQueue()
			if x.outOfTime() {
				return gate.Answer
			}
			return x.t.Overdue(gate.NoSlot)
		}
	}
}

// connected is how an attempt to connect has ended.
type connected struct {
	c   *net.TCPConn
	err error
}

// connect gets a connection to the backend: an idle one, or a new one. Without
// one it says what follows.
func (x *Exchange) connect() (*upstream, gate.Decision) {
	b := x.t.Backend()
	if x.t.MayReuse() {
		if u := x.p.pool.take(b); u != nil {
			x.t.Reused()
			return u, gate.Forward
		}
	}
	x.awaits(b)
	x.watch()
	now := x.p.now()
	began := now.Mono
	if x.connectBy == 0 {
		x.connectBy = began + int64(x.t.Limits().Deadline)
	}
	left := min(time.Duration(x.connectBy-began), time.Until(x.by(gate.Forever)))
	ctx, cancel := context.WithTimeoutCause(x.p.closing, min(left, x.t.Limits().Connect), reactor.ErrConnectTimeout)
	outcome := make(chan connected, 1)
	go func() {
		c, err := x.p.dial(ctx, b)
		outcome <- connected{c, err}
	}()
	giveUp := func() {
		cancel()
		go func() {
			if o := <-outcome; o.c != nil {
				o.c.Close()
			}
		}()
	}
	for {
		select {
		case o := <-outcome:
			var ne net.Error
			timedOut := o.err != nil && (ctx.Err() != nil && x.p.closing.Err() == nil || errors.As(o.err, &ne) && ne.Timeout())
			cancel()
			if o.err == nil {
				var u *upstream
				if u, o.err = newUpstream(o.c, b); o.err == nil {
					x.connectBy = 0
					x.t.Connected(time.Duration(x.p.now().Mono - began))
					return u, gate.Forward
				}
			}
			if timedOut {
				o.err = timeoutOf(o.err)
				if x.outOfTime() {
					return nil, gate.Answer
				}
				if left <= x.t.Limits().Connect {
					x.t.NoTimeToConnect()
				}
			}
			return nil, x.t.ConnectFailed(x.p.nowSince(began), began, o.err)
		case <-x.awake:
			c, stopped := x.why()
			switch {
			case !stopped:
			case !c.rescue:
				giveUp()
				return nil, x.t.Fail(c.reason, c.err)
			case x.t.Rescue(x.p.now()) == gate.Retry:
				x.t.Rescued(x.p.now())
				giveUp()
				return nil, gate.Retry
			}
		}
	}
}

// timeoutOf makes of an error that came of a context which has ended one that
// says that it took too long.
func timeoutOf(err error) error {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return err
	}
	return errors.Join(reactor.ErrConnectTimeout, err)
}

// errProtocol says that a backend wants what is spoken in event loops alone.
var errProtocol = errors.New("l7: HTTP/2 and TLS with backends need --l7-driver=loop")

// dial makes one connection to b, at the first of its addresses that answers.
func (p *Proxy) dial(ctx context.Context, b *backend.Backend) (*net.TCPConn, error) {
	if b.Target().Protocol != backend.HTTP {
		return nil, errProtocol
	}
	p.makeWay(b)
	addrs := []netip.AddrPort{b.AddrPort()}
	if !addrs[0].IsValid() {
		var err error
		if addrs, err = b.Addresses(ctx); err != nil {
			return nil, err
		}
	}
	c, addr, err := backend.Race(ctx, addrs, func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		return p.dialer.DialContext(ctx, "tcp", addr.String())
	}, func(c net.Conn) { c.Close() })
	if err != nil {
		b.Unreached()
		return nil, err
	}
	b.Reached(addr)
	return c.(*net.TCPConn), nil
}

// makeWay closes an idle connection to b if one more would be more than there
// may be, or one more idle one afterwards than is kept; at another listener if
// there is none here.
func (p *Proxy) makeWay(b *backend.Backend) {
	most := b.SlotLimit()
	open, idle := b.Conns.Open.Load(), b.Conns.Idle.Load()
	switch {
	case most == 0, open < most && (most == 1 || idle < gate.IdleRoom(most)):
	case p.pool.drop(b):
	case open >= most:
		b.Crowded()
	}
}
