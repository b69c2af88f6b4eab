package l7

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"sluice/l7/http1"
	"sluice/pkg/reactor"
)

const (
	// smallBody is up to which length a request body is awaited before a
	// backend is picked: so slow a client costs no backend anything, and such
	// a request can be sent again.
	smallBody = 8 << 10
	// maxDiscard is how many bytes of a body that nobody wants are taken at once
	// to keep its connection.
	maxDiscard = 64 << 10
)

// receiveRequest judges and routes the request, whose head is in x.raw. rest
// is what came after the head.
func (x *exchange) receiveRequest(rest []byte, own bool) {
	if r, why := x.req.Parse(x.raw); r != 0 {
		x.refuse(reasonOf(r), why)
		return
	}
	x.closing = x.req.Close
	x.identify()
	length := x.req.Length
	if x.inDone = length == http1.NoLength || length == 0; x.inDone {
		x.c.ahead(rest, own)
	}
	x.unread, x.come, x.comeOwn = !x.inDone, rest, own
	if x.judge() && x.authorise(rest, own) {
		x.receiveBody(rest, own)
	}
}

// receiveBody goes on with a request that is let in, of whose body, and of what
// follows, rest has come.
func (x *exchange) receiveBody(rest []byte, own bool) {
	x.unread, x.come = false, nil
	length := x.req.Length
	switch {
	case x.inDone:
	case length > 0 && length <= smallBody:
		x.small = int(length)
		if !x.takeSmall(rest, own) {
			if x.proceed(len(rest) > 0) {
				x.arm()
				x.awaitSmall()
			}
			return
		}
	case !x.takeFirst(rest, own):
		return
	}
	if x.proceed(len(rest) > 0) {
		x.admit()
	}
}

// discard takes the body of a request that is not forwarded, if all of it has
// come, so that its connection may be kept.
func (x *exchange) discard() {
	if !x.unread {
		return
	}
	p, own := x.come, x.comeOwn
	x.unread, x.come = false, nil
	b := http1.NewRequestBody(x.req.Length)
	for taken := 0; ; {
		n, err := b.SkipAll(p)
		if b.Done() {
			x.inDone = true
			x.c.ahead(p[n:], own)
			return
		}
		if taken += n; err != nil || taken > maxDiscard || !x.c.stream.Readable() {
			return
		}
		p, own = x.sh.l.Scratch()[:readAhead], false
		if n, err = x.c.stream.Read(p); err != nil {
			x.c.eof = x.c.eof || errors.Is(err, io.EOF)
			return
		}
		p = p[:n]
	}
}

// proceed tells a client that waits for it to send its body, unless some of
// it has come.
func (x *exchange) proceed(come bool) bool {
	if !x.req.Expect || come || x.inDone {
		return true
	}
	return x.interim([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// takeSmall takes bytes of a small body and reports whether it is complete.
func (x *exchange) takeSmall(p []byte, own bool) bool {
	n := min(x.small, len(p))
	x.raw = append(x.raw, p[:n]...)
	if x.small -= n; x.small > 0 {
		return false
	}
	x.inDone = true
	x.data = int(x.req.Length)
	x.first = x.raw[len(x.raw)-x.data:]
	x.c.ahead(p[n:], own)
	return true
}

// awaitSmall reads what there is of a small body.
func (x *exchange) awaitSmall() {
	for x.c.stream.Readable() {
		buf := x.sh.l.Scratch()[:readAhead]
		n, err := x.c.stream.Read(buf)
		switch {
		case errors.Is(err, reactor.ErrAgain):
			return
		case err != nil:
			x.clientBroke(err)
			return
		}
		if x.takeSmall(buf[:n], false) {
			x.admit()
			return
		}
		x.arm()
	}
}

// takeFirst judges the beginning of a body that is streamed, which came with
// its head; what is wrong there no backend ever hears of.
func (x *exchange) takeFirst(p []byte, own bool) bool {
	x.body = http1.NewRequestBody(x.req.Length)
	x.body.Own = x
	if len(p) == 0 {
		return true
	}
	come := bytes.Clone(p)
	data, n, err := x.body.Decode(come)
	if err != nil {
		x.refuse(BadRequest, strings.TrimPrefix(err.Error(), "l7: "))
		return false
	}
	x.data = len(data)
	if x.req.Length == http1.Chunked {
		x.first = http1.AppendChunks(make([]byte, 0, len(data)+len(x.body.Trailer)+64), data, &x.body)
	} else {
		x.first = data
	}
	if x.body.Done() {
		x.inDone = true
		x.c.ahead(p[n:], own)
	}
	if x.tooLarge(int64(x.data)) {
		x.refuse(BodyTooLarge, BodyTooLarge.explain())
		return false
	}
	return true
}
