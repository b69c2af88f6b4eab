package loop

import (
	"errors"
	"fmt"
	"io"

	"sluice/l7/gate"
	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

// maxInterim is how many 1xx responses a backend may send before the real one.
const maxInterim = 16

// maxFirstRead is how much is read at once of a response whose head has not
// come.
const maxFirstRead = 32 << 10

// pumpDown moves what can be moved of the response to the client now, and
// counts it: health takes for silence what is not counted. It reports whether the
// exchange goes on.
func (x *exchange) pumpDown() bool {
	if !x.moveResponse() {
		return false
	}
	x.Count()
	return true
}

// moveResponse is pumpDown without the counting.
func (x *exchange) moveResponse() bool {
	d := &x.download
	for moved := 0; ; {
		if !d.pending.Empty() {
			n, err := d.pending.Flush(x.c.stream)
			x.c.wrote += int64(n)
			if err != nil {
				x.clientBroke(err)
				return false
			}
			if n > 0 {
				x.arm()
			}
			if !d.pending.Empty() {
				return true
			}
		}
		if d.done {
			x.finish()
			return false
		}
		up := x.up
		if up == nil || up.connecting || !up.stream.Readable() {
			return true
		}
		if moved >= share {
			x.sh.l.Again(up.stream)
			return true
		}
		scratch := x.sh.l.Scratch()
		buf := scratch[http1.HeadRoom : len(scratch)-http1.TailRoom]
		if x.phase != responding {
			buf = scratch[halfScratch : halfScratch+maxFirstRead]
		}
		buf = buf[:min(len(buf), roomFor(x.c.stream))]
		var n int
		var spliced bool
		var err error
		if x.phase == responding && d.delivery != gate.InChunks {
			n, spliced, err = d.pending.Splice(up.stream, x.c.stream, d.body.Raw())
		}
		if !spliced {
			n, err = up.stream.Read(buf)
			d.pending.Noted(n)
		}
		switch {
		case errors.Is(err, reactor.ErrAgain):
			return true
		case err != nil:
			return x.backendEnded(err)
		}
		moved += n
		x.Saw()
		switch {
		case spliced:
			x.CountOut(n)
			d.body.Skip(n)
			d.done = d.body.Done()
		case x.phase == responding:
			if !x.moveDown(buf[:n]) {
				return false
			}
		case !x.receiveResponse(buf[:n]):
			return false
		}
		if x.phase == tunnelling {
			return x.pumpTunnel()
		}
	}
}

// receiveResponse takes bytes of the response's head, and what comes with it.
func (x *exchange) receiveResponse(p []byte) bool {
	up := x.up
	searched := len(up.partial)
	if searched > 0 {
		up.partial = append(up.partial, p...)
		p = up.partial
	}
	for {
		n := http1.ResponseHeadLength(p, searched)
		searched = 0
		if limit := x.sh.s.cfg.MaxResponseHead(); n > limit || n == 0 && len(p) > limit {
			x.attemptFailed(gate.BadResponse, fmt.Errorf("the head is too large: %w", http1.ErrOwnLimit))
			return false
		}
		if n == 0 {
			if len(p) == 0 || len(up.partial) == 0 || &p[0] != &up.partial[0] {
				up.partial = append([]byte(nil), p...)
			}
			return true
		}
		if err := x.Resp.Parse(p[:n]); err != nil {
			x.attemptFailed(gate.BadResponse, err)
			return false
		}
		rest := p[n:]
		switch status := x.Resp.Status; {
		case status >= 200 && status < 300 && x.mustSwitch():
			x.attemptFailed(gate.BadResponse, errors.New("it does not switch protocols, and yet says that all is well"))
			return false
		case status >= 200 && x.Declined(x.sh.now()) == gate.Retry:
			x.closeUpstream()
			x.another()
			return false
		case status >= 200:
			up.partial = nil
			return x.respond(rest)
		case status == 101:
			up.partial = nil
			if !x.MaySwitch() || !x.upload.held.Empty() {
				x.attemptFailed(gate.BadResponse, errors.New("it switches to a protocol that nobody asked for"))
				return false
			}
			return x.switchProtocols(rest)
		}
		if x.download.interims++; x.download.interims > maxInterim {
			x.attemptFailed(gate.BadResponse, fmt.Errorf("too many interim responses: %w", http1.ErrOwnLimit))
			return false
		}
		if !x.passInterim() {
			return false
		}
		p = rest
		if len(p) == 0 {
			up.partial = nil
			return true
		}
	}
}

// passInterim passes a 1xx response on, if it is for the client. It reports whether
// the exchange goes on.
func (x *exchange) passInterim() bool {
	return !x.PassesInterim() || x.interim(http1.AppendInterim(x.sh.l.Scratch()[:0:halfScratch], &x.Resp))
}

// respond sends the head of the response to the client, with rest, what came
// after it. rest is not where the head is made. It reports whether the exchange
// goes on.
func (x *exchange) respond(rest []byte) bool {
	x.CountIn(x.upload.data)
	d := &x.download
	d.delivery = x.Respond(x.sh.now())
	d.body = x.ResponseBody()
	x.phase = responding
	x.up.private = x.up.private || x.Resp.Binds
	b := x.AppendResponse(x.sh.l.Scratch()[:0:halfScratch], d.delivery)
	data, n, err := d.body.Decode(rest)
	if d.delivery == gate.InChunks {
		b = http1.AppendChunks(b, data, &d.body)
	} else {
		b = append(b, data...)
	}
	x.CountOut(len(data))
	x.checkEnd(len(rest) - n)
	if !x.toClient(b) {
		return false
	}
	if err != nil {
		x.truncated(err)
		return false
	}
	return true
}

// checkEnd notes whether all of the response has come. Bytes beyond it are
// nobody's: the connection they came on is not used again.
func (x *exchange) checkEnd(surplus int) {
	if x.download.done = x.download.body.Done(); x.download.done {
		x.trailDown()
		x.Trailed(x.download.body.Trailer, x.sh.now())
	}
	if surplus > 0 {
		x.Resp.Close = true
	}
}

// moveDown sends p, a part of the loop's scratch, on to the client. It reports
// whether the exchange goes on.
func (x *exchange) moveDown(p []byte) bool {
	d := &x.download
	data, n, err := d.body.Decode(p)
	x.CountOut(len(data))
	x.checkEnd(len(p) - n)
	if d.delivery == gate.InChunks {
		data = http1.Frame(x.sh.l.Scratch(), data, &d.body)
	}
	if len(data) > 0 && !x.toClient(data) {
		return false
	}
	if err != nil {
		x.truncated(err)
		return false
	}
	return true
}

// backendEnded is told that the backend has ended or broken its connection. It
// reports whether the exchange goes on.
func (x *exchange) backendEnded(err error) bool {
	d := &x.download
	if x.phase != responding {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
			if x.up.unseen() {
				x.Unseen()
			}
		}
		if x.up.unprocessed() {
			x.Unprocessed()
		}
		x.attemptFailed(gate.BackendReset, err)
		return false
	}
	if !errors.Is(err, io.EOF) || !d.body.End() {
		x.truncated(err)
		return false
	}
	d.done, x.Resp.Close = true, true
	if d.delivery == gate.InChunks {
		if !x.toClient([]byte("0\r\n\r\n")) {
			return false
		}
	}
	if !d.pending.Empty() {
		return true
	}
	x.finish()
	return false
}
