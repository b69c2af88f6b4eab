package accesslog

import (
	"strconv"
)

// What the lines of CommonLog and CombinedLog have of a record's fields.
const (
	fieldQuery     = "query"
	fieldUser      = "user"
	fieldReferer   = "referer"
	fieldUserAgent = "user_agent"
)

// clfTime is the time of day in a line.
const clfTime = "[02/Jan/2006:15:04:05 -0700]"

// appendCommon appends the line of what s holds in the common log format of NCSA
// and Apache:
//
//	client - user [time] "METHOD target PROTOCOL" status bytes
//
// and, if it is to be combined, with "referer" and "user agent" behind it. A
// connection, which is no request, is one of the method TCP: its target is the
// service, its protocol the reason of its end, and its status 200, or 502 if it was
// not served.
func (s *slot) appendCommon(dst []byte, combined bool) []byte {
	r := &s.r
	switch {
	case r.For.IsValid():
		dst = r.For.WithZone("").AppendTo(dst)
	case r.Client.IsValid():
		dst = r.Client.Addr().Unmap().WithZone("").AppendTo(dst)
	default:
		dst = append(dst, '-')
	}
	dst = append(dst, " - "...)
	if user := s.field(fieldUser); len(user) > 0 {
		dst = appendEscaped(dst, user, true)
	} else {
		dst = append(dst, '-')
	}
	dst = r.Time.AppendFormat(append(dst, ' '), clfTime)
	dst = append(dst, ` "`...)
	status := r.Status
	if r.Protocol != "" || len(r.Method) > 0 {
		dst = s.appendRequestLine(dst)
	} else {
		dst = append(appendEscaped(append(dst, "TCP "...), r.Service, false), ' ')
		dst = append(dst, r.Reason...)
		if status = 200; r.Failed {
			status = 502
		}
	}
	dst = append(dst, `" `...)
	dst = append(strconv.AppendInt(dst, int64(status), 10), ' ')
	if r.Out > 0 {
		dst = strconv.AppendInt(dst, r.Out, 10)
	} else {
		dst = append(dst, '-')
	}
	if combined {
		for _, key := range []string{fieldReferer, fieldUserAgent} {
			dst = append(dst, ` "`...)
			if value := s.field(key); len(value) > 0 {
				dst = appendEscaped(dst, value, false)
			} else {
				dst = append(dst, '-')
			}
			dst = append(dst, '"')
		}
	}
	return append(dst, '\n')
}

// appendRequestLine appends a request's first line, or - if none could be read.
func (s *slot) appendRequestLine(dst []byte) []byte {
	r := &s.r
	if len(r.Method) == 0 {
		return append(dst, '-')
	}
	dst = append(appendEscaped(dst, r.Method, false), ' ')
	dst = appendEscaped(dst, r.Path, false)
	if query := s.field(fieldQuery); len(query) > 0 {
		dst = appendEscaped(append(dst, '?'), query, false)
	}
	return append(append(dst, ' '), r.Protocol...)
}

// field returns the value of a field, or nil.
func (s *slot) field(key string) []byte {
	for i := range s.r.Fields {
		if s.r.Fields[i].Key == key {
			return s.r.Fields[i].Value
		}
	}
	return nil
}

// appendEscaped appends text as Apache does it: with a backslash before quotes and
// backslashes, and \xhh for what cannot be printed, and for blanks in a word.
func appendEscaped[T string | []byte](dst []byte, text T, word bool) []byte {
	const hex = "0123456789abcdef"
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c > '~' || c == ' ' && word:
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
