package l7

import (
	"net"
	"time"

	"sluice/pkg/relay"
)

// upgradeIdle is how long no byte may move on a connection that has switched
// protocols, in either direction.
const upgradeIdle = time.Hour

// upgrade passes on the 101 response and then whatever the two sides say.
// The exchange ends when they do.
func (x *exchange) upgrade() {
	x.status = x.resp.status
	x.ctx.HijackSetNoResponse(true)
	x.ctx.Hijack(func(buffered net.Conn) {
		defer func() {
			if p := recover(); p != nil {
				x.panicked(p)
			}
			x.end()
		}()
		x.tunnel(buffered)
	})
}

// tunnel relays both ways. buffered reads first what fasthttp has read beyond
// the request; whoever called closes it.
func (x *exchange) tunnel(buffered net.Conn) {
	x.pending = appendSwitch(x.pending[:0], &x.resp)
	br := x.up.br
	if _, err := br.Discard(x.size); err != nil {
		x.fail(BackendReset, err)
		return
	}
	early, _ := br.Peek(br.Buffered()) // what the backend has sent already
	if err := x.flush(early); err != nil {
		x.abort(err, false)
		return
	}
	x.moved(0, int64(len(early)))
	_, _ = br.Discard(len(early)) // all of it is buffered

	none := time.Time{}
	_ = x.client.TCPConn.SetDeadline(none) // fails only if the connection is closed, as relay sees
	_ = x.up.conn.SetDeadline(none)
	if err := x.passEarly(buffered); err != nil {
		x.abort(err, false)
		return
	}
	res := relay.Copy(x.client.TCPConn, x.up.conn, relay.Config{
		Idle:     upgradeIdle,
		Progress: x.moved,
	})
	x.reason = reasonOf(res.End)
}

// passEarly sends on what the client has sent right after its request.
func (x *exchange) passEarly(buffered net.Conn) error {
	x.client.detached = true
	buf := x.s.buffers.Get().(*[]byte)
	defer x.s.buffers.Put(buf)
	for {
		n, err := buffered.Read(*buf)
		if n > 0 {
			if _, err := x.up.conn.Write((*buf)[:n]); err != nil {
				return err
			}
			x.moved(int64(n), 0)
		}
		if err != nil {
			return nil // errDetached: the buffer is empty
		}
	}
}

func reasonOf(e relay.End) Reason {
	switch e {
	case relay.ClientEOF, relay.BackendEOF:
		return None
	case relay.ClientReset:
		return ClientAbort
	case relay.BackendReset:
		return BackendReset
	case relay.IdleTimeout:
		return IdleTimeout
	case relay.Closed:
		return Draining // nothing else closes a connection that is relayed
	}
	panic("BUG: unknown relay end " + e.String())
}
