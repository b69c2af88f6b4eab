package gate

import (
	"bytes"
	"strconv"

	"sluice/l7/http1"
	"sluice/pkg/headeredit"
)

// editRequest makes the edits of listener, service and route, in this order, on
// b, the head that goes to a backend.
func (t *Ticket) editRequest(b []byte) []byte {
	if t.client.cert != "" {
		b = t.g.noClientCert.Apply(b, headeredit.Request, t)
		b = append(append(b[:len(b)-2], t.client.cert...), "\r\n"...)
	}
	if a := t.auth(); a != nil {
		b = a.edits.Apply(b, headeredit.Request, t)
	}
	b = t.g.cfg.RequestHeaders.Apply(b, headeredit.Request, t)
	b = t.admission.rules.requestHeaders.Apply(b, headeredit.Request, t)
	return t.route.requestHeaders.Apply(b, headeredit.Request, t)
}

// editResponse makes the edits on b, the head of a response, as far as listener,
// service and route are known.
func (t *Ticket) editResponse(b []byte) []byte {
	b = t.g.cfg.ResponseHeaders.Apply(b, headeredit.Response, t)
	if t.svc != nil {
		b = t.admission.rules.responseHeaders.Apply(b, headeredit.Response, t)
	}
	if t.route != nil {
		b = t.route.responseHeaders.Apply(b, headeredit.Response, t)
	}
	return b
}

// requestSettler knows what sluice alone tells a backend, so that no trailer may
// say it.
type requestSettler Ticket

// Settles is for http1.Settler.
func (s *requestSettler) Settles(name []byte) bool {
	t := (*Ticket)(s)
	return t.g.cfg.RequestHeaders.Touches(name, headeredit.Request) ||
		t.admission.rules.requestHeaders.Touches(name, headeredit.Request) ||
		t.route.requestHeaders.Touches(name, headeredit.Request)
}

// responseSettler is the same for clients.
type responseSettler Ticket

// Settles is for http1.Settler.
func (s *responseSettler) Settles(name []byte) bool {
	t := (*Ticket)(s)
	return t.g.cfg.ResponseHeaders.Touches(name, headeredit.Response) ||
		t.admission.rules.responseHeaders.Touches(name, headeredit.Response) ||
		t.route.responseHeaders.Touches(name, headeredit.Response)
}

// AppendVariable appends the value of a variable of an edit. What is not known
// is empty.
func (t *Ticket) AppendVariable(dst []byte, v headeredit.Variable, name string) []byte {
	switch v {
	case headeredit.Client:
		if t.from.client.IsValid() {
			return t.from.client.AppendTo(dst)
		}
	case headeredit.ClientPort:
		return strconv.AppendUint(dst, uint64(t.client.Addr.Port()), 10)
	case headeredit.Scheme:
		if t.from.secure {
			return append(dst, "https"...)
		}
		return append(dst, "http"...)
	case headeredit.Host:
		return append(dst, t.from.asked...)
	case headeredit.Method:
		return append(dst, t.Req.Method...)
	case headeredit.Path:
		if t.path.Normal != nil {
			return append(dst, t.path.Normal...)
		}
		return append(dst, t.Req.Path...) // refused before it was looked at
	case headeredit.Query:
		_, query, _ := bytes.Cut(t.Req.Target, []byte("?"))
		return append(dst, query...)
	case headeredit.RequestID:
		return append(dst, t.from.requestID...)
	case headeredit.User:
		return append(dst, t.user...)
	case headeredit.Service:
		if t.svc != nil {
			return append(dst, t.svc.name...)
		}
	case headeredit.Backend:
		if t.attempt.backend != nil {
			return append(dst, t.attempt.backend.Addr()...)
		}
	case headeredit.Header:
		return append(dst, http1.Value(t.Req.Fields, name)...)
	}
	return dst
}
