package l7

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

const (
	// outSize is how much of a response is gathered before it is sent although
	// more is at hand.
	outSize = 16 << 10
	// copyBelow is from which size on a piece of a body is sent from where it
	// is instead of being copied behind what is to be sent before it.
	copyBelow = 4 << 10
)

// errUpload ends the reading of a response whose request the client broke off.
var errUpload = errors.New("l7: the client did not complete its request")

// clientError marks an error of the client's connection.
type clientError struct{ error }

func (e clientError) Unwrap() error { return e.error }

// deliver sends the response to the client as it comes: whatever is there is
// sent before more is waited for.
func (x *exchange) deliver() {
	length, untilClose := x.resp.length, false
	hasBody := x.resp.hasBody(x.req.method)
	switch {
	case !hasBody && (length < 0 || x.resp.status == 204):
		length = noLength // and no header of ours to say so
	case hasBody && length < 0 && x.req.http10:
		length, untilClose = noLength, true
	case hasBody && length < 0:
		length = chunked
	}
	if untilClose {
		x.ctx.SetConnectionClose()
	}
	if !x.bodyRead() {
		x.closeClient()
	}
	x.status = x.resp.status
	x.pending = appendResponse(x.pending[:0], &x.resp, length, x.connection())
	if _, err := x.up.br.Discard(x.size); err != nil {
		x.fail(BackendReset, err)
		return
	}
	var err error
	if hasBody {
		x.up.x = x
		err = x.relay(length == chunked)
	}
	if err == nil {
		err = x.flush(nil)
	}
	if err != nil {
		x.abort(err, untilClose)
		return
	}
	x.reuse = !x.resp.close && (!hasBody || x.resp.length != noLength)
}

// relay moves the body from the backend towards the client, up to its end.
func (x *exchange) relay(chunks bool) error {
	b := newBody(x.up.br, x.resp.length)
	for {
		p, err := b.next()
		if errors.Is(err, io.EOF) {
			if chunks {
				x.pending = append(x.pending, "0\r\n\r\n"...)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if chunks {
			x.pending = strconv.AppendInt(x.pending, int64(len(p)), 16)
			x.pending = append(x.pending, "\r\n"...)
		}
		if len(p) < copyBelow {
			x.pending = append(x.pending, p...)
		} else if err := x.flush(p); err != nil {
			return err
		}
		x.moved(0, int64(len(p)))
		if chunks {
			x.pending = append(x.pending, "\r\n"...)
		}
		if len(x.pending) >= outSize {
			if err := x.flush(nil); err != nil {
				return err
			}
		}
	}
}

// flush sends what was gathered, and p after it.
func (x *exchange) flush(p []byte) error {
	if len(x.pending) == 0 && len(p) == 0 {
		return nil
	}
	x.started = true
	if err := x.client.send(x.pending, p); err != nil {
		return clientError{err}
	}
	x.pending = x.pending[:0]
	return nil
}

// readUpstream reads from the backend's socket while a body is relayed:
// nothing is waited for while the client is owed something. The backend may be
// silent for longer than the body timeout while it is sent a request body.
func (x *exchange) readUpstream(p []byte) (int, error) {
	if err := x.flush(nil); err != nil {
		return 0, err
	}
	for {
		if err := x.up.conn.SetReadDeadline(time.Now().Add(x.s.cfg.BodyTimeout)); err != nil {
			return 0, err
		}
		u := x.upload
		var seen int64
		if u != nil {
			if u.broken.Load() {
				return 0, errUpload
			}
			seen = x.in.Load()
		}
		n, err := x.up.conn.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && u != nil {
			if u.broken.Load() {
				return 0, errUpload
			}
			if x.in.Load() != seen {
				continue
			}
		}
		return n, err
	}
}

// abort ends a response that cannot be completed. The client is left in no
// doubt: its connection ends before the response does, and with a reset where
// the end of the connection would have been the end of the response.
func (x *exchange) abort(err error, untilClose bool) {
	reason := TruncatedResponse
	var ce clientError
	switch {
	case x.s.closing.Err() != nil:
		reason = Draining
	case errors.Is(err, errUpload):
		reason, err = clientReason(x.upload.clientErr), x.upload.clientErr
	case errors.As(err, &ce) && errors.Is(err, os.ErrDeadlineExceeded):
		reason = ClientStalled
	case errors.As(err, &ce):
		reason = ClientAbort
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = BackendStalled
	}
	if !errors.As(err, &ce) {
		_ = x.flush(nil) // what has come is the client's; it fails only if the client is gone
	}
	if untilClose {
		_ = x.client.SetLinger(0)
	}
	x.started = true
	x.fail(reason, fmt.Errorf("cannot complete the response of backend %q: %w", x.backend.Addr(), err))
}
