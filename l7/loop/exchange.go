package loop

import (
	"sluice/l7/gate"
)

// freeExchanges is how many exchanges a shard keeps for requests to come.
const freeExchanges = 256

// phase is where an exchange is; see the package's documentation for how one
// follows another.
type phase uint8

const (
	receiving  phase = iota // a small body, or nothing: the next phase is entered at once
	verifying               // its credentials are verified elsewhere
	queued                  // it waits for a slot
	connecting              // to a backend
	sending                 // its body goes up
	waiting                 // all of it has, and the response has not begun
	responding              // the response goes down, and maybe the body still up
	tunnelling              // bytes go both ways, until either side ends
	answering               // sluice's own response goes down
)

// exchange is one request and its response. It belongs to the connection that
// it is served on, in that connection's loop.
//
// Functions that may end the exchange report whether it goes on, or say so; after
// that it must not be touched, as it may be serving another request already.
type exchange struct {
	gate.Ticket // what is decided about it

	sh    *shard
	c     *conn
	phase phase

	up        *upstream // the connection to the backend, in use or being made
	connectBy int64     // until when a connection must be there, 0 if none is being made

	verifying *verification // the wait for its credentials, or nil
	queue     *queueing     // the wait for a slot, or nil if there was none
	upload    upload
	download  download
	tunnel    *tunnel // once it has switched protocols
	patience  patience
}

// begin begins an exchange for the request with the given head, which is copied.
func (c *conn) begin(head []byte) *exchange {
	sh := c.sh
	var x *exchange
	if n := len(sh.free); n > 0 {
		x = sh.free[n-1]
		sh.free = sh.free[:n-1]
	} else {
		x = &exchange{sh: sh}
	}
	c.state, c.x, x.c = serving, x, c
	x.Begin(sh.s.gate, &c.client, sh.now(), sh.l.Wall())
	x.Raw = append(x.Raw[:0], head...)
	return x
}

// clientReady is told that the client's stream may be read or written. It may end
// the exchange.
func (x *exchange) clientReady() {
	switch {
	case x.phase == tunnelling:
		x.pumpTunnel()
	case x.download.done || !x.download.pending.empty():
		if x.pumpDown() {
			x.fromClient()
		}
	default:
		x.fromClient()
	}
}

// fromClient deals with what the client may have sent. It may end the exchange.
func (x *exchange) fromClient() {
	switch {
	case x.upload.small > 0:
		x.awaitSmall()
	case x.Whole() || x.upload.deaf || x.download.done:
		x.watch()
	case x.phase >= sending:
		x.pumpUp()
	}
}

// backendReady is told that the backend's socket may be read or written. It may
// end the exchange.
func (x *exchange) backendReady() {
	goesOn := true
	switch {
	case x.phase == tunnelling:
		goesOn = x.pumpTunnel()
	case x.Whole() && x.upload.held.empty() || x.upload.deaf:
		goesOn = x.pumpDown()
	default:
		goesOn = x.pumpUp() && x.pumpDown()
	}
	if goesOn {
		x.noticeBackend()
	}
}
