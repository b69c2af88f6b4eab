package accesslog

import (
	"log/slog"
	"net/netip"
	"time"
)

// Record is what became of a request or of a connection. What is empty or 0 is
// left out of its line, but for Status of a request.
//
// The slices may be used again after Add; of each, maxText bytes are kept.
type Record struct {
	Message  string    // such as "request"
	Listener string    // l4 or l7
	Time     time.Time // when it ended
	Client   netip.AddrPort
	For      netip.Addr // whom the client, a trusted proxy, speaks for

	// Of a request.
	Method    []byte
	Host      []byte
	Path      []byte
	Protocol  string // such as HTTP/1.1
	Status    int
	RequestID []byte
	TraceID   []byte
	Fields    []Field // more of it, in the order of the line

	In, Out int64 // body bytes of a request, all of a connection

	// Duration is that of the whole. Wait is the part of it before the first
	// backend had a slot, Connect that of connecting, Response the time from
	// the end of the request to the beginning of the response.
	Duration, Wait, Connect, Response time.Duration

	Service  string
	Backend  string // the address of the last one that was tried
	Strategy string // that chose it
	Retries  int    // attempts after the first

	// Reason says why it ended, or why it failed.
	Reason string
	// Detail says more than Reason does.
	Detail string
	// Failed says that it did, so that its line is never left out. A status
	// from 500 says so, too.
	Failed bool
	Err    error
}

// Field is a text that a line has by choice, and its key, which needs no
// escaping. Neither may be longer than a header.
type Field struct {
	Key   string
	Value []byte
}

func (r *Record) failed() bool { return r.Failed || r.Status >= 500 }

// maxText is how many bytes of a text are kept.
const maxText = 1 << 10

// slot holds a record in the queue, and the memory for its texts.
type slot struct {
	r      Record
	text   []byte
	fields []Field
}

// set makes s hold a copy of r.
func (s *slot) set(r *Record) {
	s.r = *r
	s.text = s.text[:0]
	texts := [...]*[]byte{&s.r.Method, &s.r.Host, &s.r.Path, &s.r.RequestID, &s.r.TraceID}
	for _, t := range texts {
		*t = (*t)[:min(len(*t), maxText)]
		s.text = append(s.text, *t...)
	}
	s.fields = append(s.fields[:0], r.Fields...)
	s.r.Fields = s.fields
	for i := range s.fields {
		f := &s.fields[i]
		f.Value = f.Value[:min(len(f.Value), maxText)]
		s.text = append(s.text, f.Value...)
	}
	rest := s.text
	for _, t := range texts {
		*t, rest = rest[:len(*t)], rest[len(*t):]
	}
	for i := range s.fields {
		f := &s.fields[i]
		f.Value, rest = rest[:len(f.Value)], rest[len(f.Value):]
	}
}

// record returns what s holds as slog's handlers take it.
func (s *slot) record() slog.Record {
	r := &s.r
	line := slog.NewRecord(r.Time, r.level(), r.Message, 0)
	attrs := make([]slog.Attr, 0, 24)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	duration := func(key string, d time.Duration) {
		if d != 0 {
			attrs = append(attrs, slog.Duration(key, d))
		}
	}
	text("listener", r.Listener)
	if r.Client.IsValid() {
		text("client", r.Client.String())
	}
	if r.For.IsValid() {
		text("for", r.For.String())
	}
	text("method", string(r.Method))
	text("host", string(r.Host))
	text("path", string(r.Path))
	text("protocol", r.Protocol)
	if r.Status != 0 || len(r.Method) > 0 {
		attrs = append(attrs, slog.Int("status", r.Status))
	}
	attrs = append(attrs, slog.Int64("in", r.In), slog.Int64("out", r.Out))
	attrs = append(attrs, slog.Duration("duration", r.Duration))
	duration("wait", r.Wait)
	duration("connect", r.Connect)
	duration("response", r.Response)
	text("service", r.Service)
	text("backend", r.Backend)
	text("strategy", r.Strategy)
	if r.Retries > 0 {
		attrs = append(attrs, slog.Int("retries", r.Retries))
	}
	text("reason", r.Reason)
	text("detail", r.Detail)
	if r.Err != nil {
		text("err", r.Err.Error())
	}
	text("request_id", string(r.RequestID))
	text("trace_id", string(r.TraceID))
	for i := range r.Fields {
		text(r.Fields[i].Key, string(r.Fields[i].Value))
	}
	line.AddAttrs(attrs...)
	return line
}
