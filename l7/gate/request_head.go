package gate

import "sluice/l7/http1"

// Sharing says who may use a connection to a backend.
type Sharing uint8

// Shared is one that serves others afterwards, and Private one on which somebody
// has authenticated, which serves one client's connection alone.
const (
	Shared Sharing = iota
	Private
)

// AppendRequest appends the head that goes to the backend to dst, which is empty.
func (t *Ticket) AppendRequest(dst []byte, s Sharing) []byte {
	dst = t.editRequest(appendRequest(dst, &t.Req, &t.from, t.target(t.attempt.backend.Addr()), t.attempt.backend.Addr()))
	if s == Shared && !t.Req.Binds && t.Req.Upgrade == nil && !t.admission.rules.reuse.MayKeep(t.attempt.backend.SlotLimit()) {
		dst = append(dst[:len(dst)-2], "Connection: close\r\n\r\n"...)
	}
	return dst
}

// RequestBody returns the parser of a request's body that is passed on as it
// comes. It refers to t.
func (t *Ticket) RequestBody() http1.Body {
	length := t.Req.Length
	if length == http1.NoLength {
		length = 0
	}
	b := http1.NewRequestBody(length)
	b.Own = (*requestSettler)(t)
	return b
}

// target returns what is forwarded of the request's target to a backend at addr,
// and sets the Host that goes with it.
func (t *Ticket) target(addr string) []byte {
	rt, p := t.route, &t.path
	if t.from.host = rt.host; rt.host == "dst" {
		t.from.host = addr
	}
	if rt.strip == "" && rt.prepend == "" && len(p.Forward) == len(p.Raw) && &p.Forward[0] == &p.Raw[0] {
		return t.Req.Target
	}
	t.rewritten = rt.appendTarget(t.rewritten[:0], p.Forward, t.Req.Query())
	return t.rewritten
}

const maxRequestID = 128

// requestID returns the request's own ID if it is to be kept: that of a
// trusted peer, of at most 128 visible ASCII bytes.
func requestID(h *http1.Head, trusted bool) []byte {
	if !trusted {
		return nil
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Kind == http1.KindRequestID && isRequestID(f.Value) {
			return f.Value
		}
	}
	return nil
}

func isRequestID(b []byte) bool {
	if len(b) == 0 || len(b) > maxRequestID {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// appendRequest appends the head that is sent to a backend: the client's own,
// less what was for the client's connection only or not the client's to say,
// and then what sluice says. target is what is forwarded of the target, and
// host stands in for a Host that an HTTP/1.0 client did not send.
func appendRequest(dst []byte, h *http1.Head, o *origin, target []byte, host string) []byte {
	dst = append(dst, h.Method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	switch {
	case o.host != "":
		dst = http1.AppendLine(dst, "Host", o.host)
	case len(h.Host) == 0:
		dst = http1.AppendLine(dst, "Host", host)
	case h.Implied:
		dst = append(append(append(dst, "Host: "...), h.Host...), "\r\n"...)
	}
	dst, said := appendFields(dst, h, o)
	dst = o.appendOrigin(dst, h, said)
	dst = append(dst, "X-Request-ID: "...)
	dst = append(append(dst, o.requestID...), "\r\n"...)
	if o.mark != "" {
		dst = http1.AppendLine(dst, "CDN-Loop", o.mark)
	}
	if len(o.trace.begun) > 0 {
		dst = append(dst, "traceparent: "...)
		dst = append(append(dst, o.trace.begun...), "\r\n"...)
	}
	dst = http1.AppendFraming(dst, h.Length)
	switch { // RFC 9110 7.8, 10.1.4
	case h.Upgrade != nil && h.Trailers:
		dst = append(dst, "Connection: Upgrade, TE\r\nTE: trailers\r\n"...)
	case h.Upgrade != nil:
		dst = append(dst, "Connection: Upgrade\r\n"...)
	case h.Trailers:
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	if h.Upgrade != nil {
		dst = append(dst, "Upgrade: "...)
		dst = append(append(dst, h.Upgrade...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendFields appends those of the client's fields that are forwarded as they
// came. said tells, by the bits of their kinds, what a trusted peer has said of
// a request's origin.
func appendFields(dst []byte, h *http1.Head, o *origin) (_ []byte, said uint32) {
	for i := range h.Fields {
		f := &h.Fields[i]
		forward := false
		switch f.Kind {
		case http1.KindPlain, http1.KindOwn:
			forward = true
		case http1.KindHost:
			forward = o.host == ""
		case http1.KindForwardedOther:
			forward = o.trusted
		case http1.KindForwarded:
			forward = o.trusted && !o.forwarded
		case http1.KindTrailer:
			if h.Length == http1.Chunked {
				dst = http1.AppendAnnounced(dst, f)
			}
		case http1.KindTraceparent:
			forward = o.trace.continued && o.trace.begun == nil
		case http1.KindTracestate:
			forward = o.trace.continued && o.trace.state
		}
		if forward {
			dst = http1.AppendField(dst, f)
		}
		if o.trusted {
			said |= 1 << f.Kind
		}
	}
	return dst, said
}

// appendValues appends the values of all fields of a kind as the beginning of a
// list.
func appendValues(dst []byte, h *http1.Head, k http1.Kind) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Kind == k && len(f.Value) > 0 {
			dst = append(append(dst, f.Value...), ", "...)
		}
	}
	return dst
}
