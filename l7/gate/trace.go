package gate

import (
	"bytes"
	"encoding/hex"

	"sluice/l7/http1"
	"sluice/pkg/tracing"
)

// Trace context as of the W3C recommendation. A trace that a client brings is
// continued: its headers are forwarded as they came if they are valid, and
// dropped if not, as the recommendation wants. Where sluice reports no span
// (span.go) it does not put one of its own in between, which no tracer would ever
// find.

// A traceparent is "00-" trace ID "-" parent ID "-" flags, in lower-case hex.
const (
	traceparentLen = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	traceIDLen     = 32
	// maxTraceMembers and maxTracestate bound a tracestate; the recommendation
	// has the former, and wants 512 bytes at least to be propagated.
	maxTraceMembers = 32
	maxTracestate   = 4096
)

// trace is what becomes of a request's trace.
type trace struct {
	id        []byte        // 32 hex digits; nil if there is no trace
	parent    []byte        // the client's span, 16 hex digits
	continued bool          // the client has brought it, and its traceparent is forwarded unless there is another
	sampled   bool          // the client's is
	state     bool          // its tracestate is forwarded
	begun     []byte        // the traceparent of a span that begins here
	span      *tracing.Span // what is to be told of the request; nil for nothing
}

// traceOf judges the trace that the client may have brought.
func traceOf(fields []http1.Field) trace {
	var s traceState
	parents, valid := 0, true
	var parent []byte
	for i := range fields {
		switch f := &fields[i]; f.Kind {
		case http1.KindTraceparent:
			parents++
			parent = f.Value
		case http1.KindTracestate:
			valid = s.add(f.Value) && valid
		}
	}
	id := traceID(parent)
	if parents != 1 || id == nil {
		return trace{}
	}
	return trace{id: id, parent: parent[36:52], continued: true, sampled: parent[54]&1 != 0, state: valid}
}

// traceID returns the trace ID of a traceparent, or nil if that is not valid.
// Of versions to come, which begin alike, what follows is not looked at.
func traceID(b []byte) []byte {
	if len(b) < traceparentLen || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return nil
	}
	version, id, parent, flags := b[:2], b[3:35], b[36:52], b[53:55]
	switch {
	case !isLowerHex(version) || string(version) == "ff",
		string(version) == "00" && len(b) != traceparentLen,
		len(b) > traceparentLen && b[traceparentLen] != '-',
		!isLowerHex(id) || allZero(id),
		!isLowerHex(parent) || allZero(parent),
		!isLowerHex(flags):
		return nil
	}
	return id
}

func isLowerHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != '0' {
			return false
		}
	}
	return true
}

// appendTraceparent appends the traceparent of a span of a trace.
func appendTraceparent(dst []byte, trace tracing.TraceID, span tracing.SpanID, sampled bool) []byte {
	dst = append(dst, "00-"...)
	dst = hex.AppendEncode(dst, trace[:])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, span[:])
	if sampled {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}

// traceState counts the members of a tracestate, which may come in several
// lines. Its zero value is empty.
type traceState struct{ members, bytes int }

// add reports whether one more line is valid, and all of them together are not
// too long.
func (s *traceState) add(line []byte) bool {
	s.bytes += len(line)
	for rest := line; rest != nil; {
		var member []byte
		if i := bytes.IndexByte(rest, ','); i >= 0 {
			member, rest = rest[:i], rest[i+1:]
		} else {
			member, rest = rest, nil
		}
		member = http1.TrimSpace(member)
		if len(member) == 0 {
			continue
		}
		key, value, ok := bytes.Cut(member, []byte("="))
		if s.members++; !ok || !isTraceKey(key) || !isTraceValue(value) {
			return false
		}
	}
	return s.members <= maxTraceMembers && s.bytes <= maxTracestate
}

// isTraceKey reports whether b is simple-key or tenant@system.
func isTraceKey(b []byte) bool {
	tenant, system, multi := bytes.Cut(b, []byte("@"))
	if !multi {
		return isTraceName(tenant, 256) && tenant[0] >= 'a'
	}
	return isTraceName(tenant, 241) && isTraceName(system, 14) && system[0] >= 'a'
}

func isTraceName(b []byte, most int) bool {
	if len(b) == 0 || len(b) > most {
		return false
	}
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || c != '_' && c != '-' && c != '*' && c != '/') {
			return false
		}
	}
	return true
}

func isTraceValue(b []byte) bool {
	if len(b) == 0 || len(b) > 256 || b[len(b)-1] == ' ' {
		return false
	}
	for _, c := range b {
		if c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return true
}
