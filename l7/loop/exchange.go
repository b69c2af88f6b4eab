package loop

import "sluice/pkg/reactor"

// freeExchanges is how many exchanges a shard keeps for requests to come.
const freeExchanges = 256

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
	case x.download.done || !x.download.pending.Empty():
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

// Ready is told that the backend's socket may be read or written.
func (up *upstream) Ready(reactor.Stream) {
	x := up.x
	if x == nil {
		up.idleReady()
		return
	}
	defer x.c.guard()
	if up.connecting {
		up.connectReady()
		return
	}
	x.backendReady()
}

// backendReady is told that the backend's socket may be read or written. It may
// end the exchange.
func (x *exchange) backendReady() {
	goesOn := true
	switch {
	case x.phase == tunnelling:
		goesOn = x.pumpTunnel()
	case x.Whole() && x.upload.held.Empty() || x.upload.deaf:
		goesOn = x.pumpDown()
	default:
		goesOn = x.pumpUp() && x.pumpDown()
	}
	if goesOn {
		x.noticeBackend()
	}
}
