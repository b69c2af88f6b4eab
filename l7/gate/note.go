package gate

import (
	"bytes"

	"sluice/l7/http1"
	"sluice/pkg/accesslog"
)

// LogField is what the access log has of requests by choice.
type LogField struct {
	// Key is that of the line.
	Key string
	Of  LogOf
	// Name is that of the header, in lower case.
	Name string
}

// LogOf is a part of an exchange: LogQuery, LogUser, LogRequest or LogResponse.
type LogOf string

// Of the target its query, the user as Auth has found it, and of the two heads a header: of several lines the
// first one.
const (
	LogQuery    LogOf = "query"
	LogUser     LogOf = "user"
	LogRequest  LogOf = "request"
	LogResponse LogOf = "response"
)

// noted is what the access log has of a response whose head is gone, and memory
// for a record. Its zero value is ready.
type noted struct {
	text   []byte
	user   []byte
	ends   []int // in text, of each LogResponse that was noted
	fields []accesslog.Field
	record *accesslog.Record // nil before the first one
}

// reset empties n but keeps its memory.
func (n noted) reset() noted {
	const worthKeeping = 4 << 10
	if cap(n.text) > worthKeeping {
		n.text = nil
	}
	clear(n.fields)
	return noted{text: n.text[:0], user: n.user[:0], ends: n.ends[:0], fields: n.fields[:0], record: n.record}
}

// noteResponse keeps what the access log has of the response's head, while it
// is there.
func (t *Ticket) noteResponse() {
	cfg := &t.g.cfg
	if !cfg.AccessLog.On() || len(cfg.LogFields) == 0 {
		return
	}
	n := &t.noted
	n.text, n.ends = n.text[:0], n.ends[:0]
	for i := range cfg.LogFields {
		if f := &cfg.LogFields[i]; f.Of == LogResponse {
			n.text = append(n.text, http1.Value(t.Resp.Fields, f.Name)...)
			n.ends = append(n.ends, len(n.text))
		}
	}
}

// noteFields adds to r what it has by choice.
func (t *Ticket) noteFields(r *accesslog.Record) {
	chosen := t.g.cfg.LogFields
	if len(chosen) == 0 {
		return
	}
	n := &t.noted
	responses, from := 0, 0
	for i := range chosen {
		f := &chosen[i]
		var value []byte
		switch f.Of {
		case LogQuery:
			_, value, _ = bytes.Cut(t.Req.Target, []byte("?"))
		case LogUser:
			n.user = append(n.user[:0], t.user...)
			value = n.user
		case LogRequest:
			value = http1.Value(t.Req.Fields, f.Name)
		case LogResponse:
			if responses < len(n.ends) {
				value = n.text[from:n.ends[responses]]
				from = n.ends[responses]
				responses++
			}
		}
		if len(value) > 0 {
			n.fields = append(n.fields, accesslog.Field{Key: f.Key, Value: value})
		}
	}
	r.Fields = n.fields
}
