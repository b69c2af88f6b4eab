package l7

import (
	"errors"
	"fmt"
	"io"

	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

// maxInterim is how many 1xx responses a backend may send before the real one.
const maxInterim = 16

// maxFirstRead is how much is read at once of a response whose head has not
// come.
const maxFirstRead = 32 << 10

// pumpDown moves what can be moved of the response to the client now, and
// counts it: health takes for silence what is not counted.
func (x *exchange) pumpDown() bool {
	if !x.moveResponse() {
		return false
	}
	x.count()
	return true
}

func (x *exchange) moveResponse() bool {
	for moved := 0; ; {
		if !x.pending.empty() {
			n, err := x.pending.flush(x.sh.l, x.c.stream)
			x.c.wrote += int64(n)
			if err != nil {
				x.clientBroke(err)
				return false
			}
			if n > 0 {
				x.arm()
			}
			if !x.pending.empty() {
				return true
			}
		}
		if x.outDone {
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
		if !x.answered {
			buf = scratch[halfScratch : halfScratch+maxFirstRead]
		}
		var n int
		var spliced bool
		var err error
		if x.answered && !x.chunks {
			n, spliced, err = x.pending.splice(x.sh.l, up.stream, x.c.stream, x.out.Raw())
		}
		if !spliced {
			n, err = up.stream.Read(buf)
			x.pending.large = n >= bulk
		}
		switch {
		case errors.Is(err, reactor.ErrAgain):
			return true
		case err != nil:
			return x.backendEnded(err)
		}
		moved += n
		x.attempt.answered = true
		switch {
		case spliced:
			x.outN += int64(n)
			x.out.Skip(n)
			x.outDone = x.out.Done()
		case x.answered:
			if !x.moveDown(buf[:n]) {
				return false
			}
		case !x.receiveResponse(buf[:n]):
			return false
		}
		if x.tunnel != nil {
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
		if limit := max(x.sh.s.cfg.MaxHeadBytes, 2*maxFirstRead); n > limit || n == 0 && len(p) > limit {
			x.attemptFailed(BadResponse, fmt.Errorf("the head is too large: %w", http1.ErrOwnLimit))
			return false
		}
		if n == 0 {
			if len(p) == 0 || len(up.partial) == 0 || &p[0] != &up.partial[0] {
				up.partial = append([]byte(nil), p...)
			}
			return true
		}
		if err := x.resp.Parse(p[:n]); err != nil {
			x.attemptFailed(BadResponse, err)
			return false
		}
		rest := p[n:]
		switch status := x.resp.Status; {
		case status >= 200:
			up.partial = nil
			return x.respond(rest)
		case status == 101:
			up.partial = nil
			if x.req.Upgrade == nil || !x.resp.Answers(x.req.Upgrade) || !x.inDone || !x.held.empty() {
				x.attemptFailed(BadResponse, errors.New("it switches to a protocol that nobody asked for"))
				return false
			}
			return x.switchProtocols(rest)
		}
		if x.interims++; x.interims > maxInterim {
			x.attemptFailed(BadResponse, fmt.Errorf("too many interim responses: %w", http1.ErrOwnLimit))
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

// passInterim passes a 1xx response on, but for a 100, which is sluice's own
// affair. HTTP/1.0 knows none, and some clients of HTTP/1.1 take it for the
// response.
func (x *exchange) passInterim() bool {
	if x.resp.Status == 100 || x.req.Version == http1.HTTP10 || !x.passesHints() {
		return true
	}
	return x.interim(http1.AppendInterim(x.sh.l.Scratch()[:0:halfScratch], &x.resp))
}

// interim sends a 1xx response, after which the response can still be any.
func (x *exchange) interim(p []byte) bool {
	started := x.started
	if !x.toClient(p) {
		return false
	}
	x.started = started
	return true
}

// respond sends the head of the response to the client, with rest, what came
// after it. rest is not where the head is made.
func (x *exchange) respond(rest []byte) bool {
	x.answered = true
	x.in += int64(x.data)
	x.observe(!faulty(x.resp.Status))
	length, hasBody := x.resp.Length, x.resp.HasBody(x.req.Method)
	switch {
	case !hasBody && (length < 0 || x.resp.Status == 204):
		length = http1.NoLength // and no header of ours to say so
	case hasBody && length < 0 && x.req.Version == http1.HTTP10:
		length, x.untilClose, x.closing = http1.NoLength, true, true
	case hasBody && length < 0:
		length, x.chunks = http1.Chunked, true
	}
	x.out = http1.NewResponseBody(0)
	if hasBody {
		x.out = http1.NewResponseBody(x.resp.Length)
		x.out.Own = (*responseSettler)(x)
	}
	x.closing = x.closing || !x.inDone
	x.status = x.resp.Status
	x.answering()
	x.up.private = x.up.private || x.resp.Binds
	b := http1.AppendResponse(x.sh.l.Scratch()[:0:halfScratch], &x.resp, length, x.connection())
	b = x.appendOwn(x.editResponse(b))
	x.noteResponse()
	clear(x.resp.Fields) // they alias what is overwritten next
	x.resp.Fields = x.resp.Fields[:0]
	data, n, err := x.out.Decode(rest)
	if x.chunks {
		b = http1.AppendChunks(b, data, &x.out)
	} else {
		b = append(b, data...)
	}
	x.outN += int64(len(data))
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
	x.outDone = x.out.Done()
	if surplus > 0 {
		x.resp.Close = true
	}
}

// moveDown sends p, a part of the loop's scratch, on to the client.
func (x *exchange) moveDown(p []byte) bool {
	data, n, err := x.out.Decode(p)
	x.outN += int64(len(data))
	x.checkEnd(len(p) - n)
	if x.chunks {
		data = http1.Frame(x.sh.l.Scratch(), data, &x.out)
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

// backendEnded is told that the backend has ended or broken its connection.
func (x *exchange) backendEnded(err error) bool {
	if !x.answered {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
			if f := &x.attempt; f.reused && f.replayable && !f.answered && x.up.unseen() {
				f.written = false
			}
		}
		x.attemptFailed(BackendReset, err)
		return false
	}
	if !errors.Is(err, io.EOF) || !x.out.End() {
		x.truncated(err)
		return false
	}
	x.outDone, x.resp.Close = true, true
	if x.chunks {
		if !x.toClient([]byte("0\r\n\r\n")) {
			return false
		}
	}
	if !x.pending.empty() {
		return true
	}
	x.finish()
	return false
}

// truncated ends a response that cannot be completed. The client is left in no
// doubt: its connection ends before the response does.
func (x *exchange) truncated(err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	x.fail(TruncatedResponse, fmt.Errorf("cannot complete the response of backend %q: %w", x.backend.Addr(), err))
}

// toClient sends p to the client, and keeps what that does not take.
func (x *exchange) toClient(p []byte) bool {
	x.started = true
	if !x.pending.empty() {
		x.pending.add(x.sh.l, p)
		return true
	}
	n, err := x.c.stream.Write(p)
	x.c.wrote += int64(max(n, 0))
	if err != nil && !errors.Is(err, reactor.ErrAgain) {
		x.clientBroke(err)
		return false
	}
	x.pending.add(x.sh.l, p[n:])
	x.arm()
	return true
}
