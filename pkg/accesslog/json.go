package accesslog

import (
	"encoding/json"
	"log/slog"
	"strconv"
	"time"
)

// appendJSON appends the line of what s holds, as slog's JSON handler writes
// the record that record returns, with durations as text. That handler costs
// five times as much.
func (s *slot) appendJSON(dst []byte) []byte {
	r := &s.r
	dst = append(dst, `{"time":"`...)
	dst = r.Time.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","level":"`...)
	dst = append(dst, r.level().String()...)
	dst = append(dst, `","msg":`...)
	dst = appendString(dst, r.Message)
	dst = appendText(dst, "listener", r.Listener)
	switch {
	case r.Client.Addr().Zone() != "": // which could be any text
		dst = appendText(dst, "client", r.Client.String())
	case r.Client.IsValid():
		dst = append(appendKey(dst, "client"), '"')
		dst = append(r.Client.AppendTo(dst), '"')
	}
	if r.For.IsValid() {
		dst = appendText(dst, "for", r.For.String())
	}
	dst = appendText(dst, "method", r.Method)
	dst = appendText(dst, "host", r.Host)
	dst = appendText(dst, "path", r.Path)
	dst = appendText(dst, "protocol", r.Protocol)
	if r.Status != 0 || len(r.Method) > 0 {
		dst = appendInt(dst, "status", int64(r.Status))
	}
	dst = appendInt(dst, "in", r.In)
	dst = appendInt(dst, "out", r.Out)
	dst = appendText(dst, "duration", r.Duration.String())
	dst = appendDuration(dst, "wait", r.Wait)
	dst = appendDuration(dst, "connect", r.Connect)
	dst = appendDuration(dst, "response", r.Response)
	dst = appendText(dst, "service", r.Service)
	dst = appendText(dst, "backend", r.Backend)
	dst = appendText(dst, "strategy", r.Strategy)
	if r.Retries > 0 {
		dst = appendInt(dst, "retries", int64(r.Retries))
	}
	dst = appendText(dst, "reason", r.Reason)
	dst = appendText(dst, "detail", r.Detail)
	if r.Err != nil {
		dst = appendText(dst, "err", r.Err.Error())
	}
	dst = appendText(dst, "request_id", r.RequestID)
	dst = appendText(dst, "trace_id", r.TraceID)
	for i := range r.Fields {
		dst = appendText(dst, r.Fields[i].Key, r.Fields[i].Value)
	}
	return append(dst, "}\n"...)
}

func (r *Record) level() slog.Level {
	if r.failed() {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func appendKey(dst []byte, key string) []byte {
	return append(append(append(dst, `,"`...), key...), `":`...)
}

func appendInt(dst []byte, key string, n int64) []byte {
	return strconv.AppendInt(appendKey(dst, key), n, 10)
}

func appendDuration(dst []byte, key string, d time.Duration) []byte {
	if d == 0 {
		return dst
	}
	return appendText(dst, key, d.String())
}

// appendText appends a text unless it is empty.
func appendText[T string | []byte](dst []byte, key string, text T) []byte {
	if len(text) == 0 {
		return dst
	}
	return appendString(appendKey(dst, key), text)
}

// appendString appends a text as JSON has it.
func appendString[T string | []byte](dst []byte, text T) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(string(text)) // a string can always be encoded
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}
