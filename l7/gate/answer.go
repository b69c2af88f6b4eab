package gate

import (
	"net/http"
	"strconv"
	"time"

	"sluice/l7/http1"
)

// httpDate is IMF-fixdate (RFC 9110 5.6.7).
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// AppendAnswer appends a response of sluice's own, with its body, which says why
// the request ends, or where the client is sent, to dst, which is empty.
// Afterwards Closes says what becomes of the connection.
func (t *Ticket) AppendAnswer(dst []byte, now Now) []byte {
	t.closing = t.closing || !t.whole || t.Req.Close
	o := &t.outcome
	if o.location == nil {
		o.status = o.reason.status()
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(o.status), 10)
	dst = append(append(dst, ' '), http.StatusText(o.status)...)
	length := int64(0)
	if o.location != nil {
		dst = append(dst, "\r\nLocation: "...)
		dst = append(dst, o.location...)
		dst = append(dst, "\r\n"...)
	} else {
		dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-cache\r\n"...)
		length = int64(len(o.detail) + 1)
	}
	dst = append(dst, "Date: "...)
	dst = append(t.wallAt(now).UTC().AppendFormat(dst, httpDate), "\r\n"...)
	dst = http1.AppendLine(dst, "X-Sluice-Reason", o.reason.String())
	if t.call.is {
		dst = http1.AppendLine(dst, "Grpc-Status", strconv.Itoa(int(o.reason.grpcOf())))
	}
	if o.retryAfter > 0 && o.location == nil {
		dst = append(dst, "Retry-After: "...)
		dst = strconv.AppendInt(dst, int64((o.retryAfter+time.Second-1)/time.Second), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = http1.AppendFraming(dst, length)
	if c := t.connection(); c != "" {
		dst = http1.AppendLine(dst, "Connection", c)
	}
	dst = append(append(dst, o.challenge...), "\r\n"...)
	dst = t.editResponse(dst)
	if o.location == nil && string(t.Req.Method) != "HEAD" {
		dst = append(append(dst, o.detail...), '\n')
	}
	return dst
}

// wallAt returns the time of day at now.
func (t *Ticket) wallAt(now Now) time.Time { return t.start.wall.Add(now.Time.Sub(t.start.time)) }

// connection returns what the response says of the client's connection, and
// keeps the ticket to it.
func (t *Ticket) connection() string {
	if t.g.draining.Load() {
		t.closing = true
	}
	switch {
	case t.closing:
		return "close"
	case t.Req.Version == http1.HTTP10:
		return "keep-alive"
	}
	return ""
}
