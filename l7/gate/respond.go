package gate

import (
	"sluice/l7/http1"
)

// Delivery is how a client gets the body of a response.
type Delivery uint8

// AsItIs is by the length that the backend has said, or not at all; InChunks and
// UntilClose are for a length that is not known.
const (
	AsItIs Delivery = iota
	InChunks
	UntilClose // the end of the connection is the end of the body
)

// PassesInterim reports whether Resp, a 1xx response, is for the client. A 100 is
// sluice's own affair. HTTP/1.0 knows none, and some clients of HTTP/1.1 take it
// for the response.
func (t *Ticket) PassesInterim() bool {
	return t.Resp.Status != 100 && t.Req.Version != http1.HTTP10 && t.passesHints()
}

// MaySwitch reports whether Resp, a 101, answers a request for it that is whole.
func (t *Ticket) MaySwitch() bool {
	return t.Req.Upgrade != nil && t.Resp.Answers(t.Req.Upgrade) && t.whole
}

// AppendSwitch appends the head of Resp, a 101, for the client to dst, which is
// empty. From now on bytes are passed on both ways.
func (t *Ticket) AppendSwitch(dst []byte, now Now) []byte {
	t.attempt.responded = true
	t.closing, t.outcome.status = true, 101
	t.served()
	t.observeSuccess(now)
	t.switched(now)
	return t.editResponse(http1.AppendInterim(dst, &t.Resp))
}

// served forgets the reason for which attempts before this one came to nothing: the
// request has not failed. What the last of them said is kept for the access log.
func (t *Ticket) served() { t.outcome.reason, t.outcome.detail = None, "" }

// Respond tells that Resp is the head of a response, which is the one that the
// client gets. What the driver knows of the request's bytes it has told before.
func (t *Ticket) Respond(now Now) Delivery {
	t.attempt.responded = true
	t.served()
	switch {
	case t.call.is:
		t.respondToCall(now)
	case faulty(t.Resp.Status):
		t.observeFailure(now)
	default:
		t.observeSuccess(now)
	}
	d := AsItIs
	if t.Resp.HasBody(t.Req.Method) && t.Resp.Length < 0 {
		if d = InChunks; t.Req.Version == http1.HTTP10 {
			d, t.closing = UntilClose, true
		}
	}
	t.closing = t.closing || !t.whole
	t.outcome.status = t.Resp.Status
	t.answering(now)
	return d
}

// AppendResponse appends the head of the response for the client to dst, which is
// empty and no part of what Resp was parsed from. The fields of Resp are gone
// afterwards.
func (t *Ticket) AppendResponse(dst []byte, d Delivery) []byte {
	length := t.Resp.Length
	switch {
	case d == InChunks:
		length = http1.Chunked
	case d == UntilClose, !t.Resp.HasBody(t.Req.Method) && (length < 0 || t.Resp.Status == 204):
		length = http1.NoLength // and no header of ours to say so
	}
	dst = http1.AppendResponse(dst, &t.Resp, length, t.connection())
	dst = t.appendOwn(t.editResponse(dst))
	t.noteResponse()
	clear(t.Resp.Fields)
	t.Resp.Fields = t.Resp.Fields[:0]
	return dst
}

// ResponseBody returns the parser of the response's body. It refers to t.
func (t *Ticket) ResponseBody() http1.Body {
	if !t.Resp.HasBody(t.Req.Method) {
		return http1.NewResponseBody(0)
	}
	b := http1.NewResponseBody(t.Resp.Length)
	b.Own = (*responseSettler)(t)
	return b
}

// Bodiless reports whether the response has no body only for what it is: an
// answer to HEAD, or a 204 or 304 that announces one.
func (t *Ticket) Bodiless() bool {
	if t.Resp.HasBody(t.Req.Method) {
		return false
	}
	return t.Resp.Length > 0 || t.Resp.Length == http1.Chunked || string(t.Req.Method) == "HEAD"
}

// appendOwn adds to b, a response's head, what sluice says itself.
func (t *Ticket) appendOwn(b []byte) []byte {
	hsts := t.g.hsts
	if hsts != "" && (!t.from.secure || http1.HasLine(b, "strict-transport-security")) {
		hsts = ""
	}
	if hsts == "" && !t.repin {
		return b
	}
	b = append(b[:len(b)-2], hsts...) // less the empty line
	if t.repin {
		p := t.admission.rules
		b = p.pins.appendSetCookie(b, p.sticky.Name, t.attempt.backend, t.from.secure)
	}
	return append(b, "\r\n"...)
}

// faulty reports whether a response with this status says that the backend
// failed. The two of 5xx that do not are about the request; those from 600 are
// no HTTP, and not for us to interpret.
func faulty(status int) bool { return statusClass(status) == 5 && status != 501 && status != 505 }
