package l7

import (
	"bytes"
	"strconv"

	"sluice/l7/http1"
	"sluice/pkg/headeredit"
)

// editRequest makes the edits of listener, service and route, in this order, on
// b, the head that goes to a backend.
func (x *exchange) editRequest(b []byte) []byte {
	if x.c.cert != "" {
		b = x.sh.s.noClientCert.Apply(b, headeredit.Request, x)
		b = append(append(b[:len(b)-2], x.c.cert...), "\r\n"...)
	}
	if a := x.auth(); a != nil {
		b = a.edits.Apply(b, headeredit.Request, x)
	}
	b = x.sh.s.cfg.RequestHeaders.Apply(b, headeredit.Request, x)
	if p := x.svc.policy; p != nil {
		b = p.requestHeaders.Apply(b, headeredit.Request, x)
	}
	return x.route.requestHeaders.Apply(b, headeredit.Request, x)
}

// editResponse makes the edits on b, the head of a response, as far as listener,
// service and route are known.
func (x *exchange) editResponse(b []byte) []byte {
	b = x.sh.s.cfg.ResponseHeaders.Apply(b, headeredit.Response, x)
	if x.svc != nil && x.svc.policy != nil {
		b = x.svc.policy.responseHeaders.Apply(b, headeredit.Response, x)
	}
	if x.route != nil {
		b = x.route.responseHeaders.Apply(b, headeredit.Response, x)
	}
	return b
}

// Settles reports whether sluice alone says what a backend is told of the field
// called name, so that no trailer may say it.
func (x *exchange) Settles(name []byte) bool {
	return x.sh.s.cfg.RequestHeaders.Touches(name, headeredit.Request) ||
		x.svc.policy != nil && x.svc.policy.requestHeaders.Touches(name, headeredit.Request) ||
		x.route.requestHeaders.Touches(name, headeredit.Request)
}

// responseSettler is what Settles says of the fields of a response.
type responseSettler exchange

func (s *responseSettler) Settles(name []byte) bool {
	x := (*exchange)(s)
	return x.sh.s.cfg.ResponseHeaders.Touches(name, headeredit.Response) ||
		x.svc.policy != nil && x.svc.policy.responseHeaders.Touches(name, headeredit.Response) ||
		x.route.responseHeaders.Touches(name, headeredit.Response)
}

// AppendVariable appends the value of a variable of an edit. What is not known
// is empty.
func (x *exchange) AppendVariable(dst []byte, v headeredit.Variable, name string) []byte {
	switch v {
	case headeredit.Client:
		if x.from.client.IsValid() {
			return x.from.client.AppendTo(dst)
		}
	case headeredit.ClientPort:
		return strconv.AppendUint(dst, uint64(x.c.client.Port()), 10)
	case headeredit.Scheme:
		if x.from.secure {
			return append(dst, "https"...)
		}
		return append(dst, "http"...)
	case headeredit.Host:
		return append(dst, x.from.asked...)
	case headeredit.Method:
		return append(dst, x.req.Method...)
	case headeredit.Path:
		if x.path.Normal != nil {
			return append(dst, x.path.Normal...)
		}
		return append(dst, x.req.Path...) // refused before it was looked at
	case headeredit.Query:
		_, query, _ := bytes.Cut(x.req.Target, []byte("?"))
		return append(dst, query...)
	case headeredit.RequestID:
		return append(dst, x.from.requestID...)
	case headeredit.User:
		return append(dst, x.user...)
	case headeredit.Service:
		if x.svc != nil {
			return append(dst, x.svc.name...)
		}
	case headeredit.Backend:
		if x.backend != nil {
			return append(dst, x.backend.Addr()...)
		}
	case headeredit.Header:
		return append(dst, http1.Value(x.req.Fields, name)...)
	}
	return dst
}
