package http1

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Response is the head of a backend's response. Its slices alias the bytes it
// was parsed from.
type Response struct {
	Status    int
	Phrase    []byte
	Fields    []Field
	Length    int64 // of the body, if there is one: its length, Chunked, or NoLength
	Close     bool  // the backend closes its connection afterwards
	Upgrade   []byte
	KeepAlive time.Duration // for which the backend keeps the connection when it is idle, or NoHint
	Binds     bool          // it authenticates the connection, or asks to
	Limits    Limits        // that Parse keeps to; whoever parses sets them
}

func (r *Response) Reset() {
	clear(r.Fields)
	*r = Response{Fields: r.Fields[:0], Limits: r.Limits}
}

// HasBody reports whether a body follows the head of a response to method.
func (r *Response) HasBody(method []byte) bool {
	return r.Length != 0 && r.Status >= 200 && r.Status != 204 && r.Status != 304 && string(method) != "HEAD"
}

const (
	// NoHint stands for a response without Keep-Alive: timeout=.
	NoHint time.Duration = -1
	// longestHint is short enough to be added to any time.
	longestHint = 100 * 365 * 24 * time.Hour
)

// ResponseHeadLength returns the length of the head that b begins with, the empty
// line included, or 0 if b does not hold all of it. from is how much of b was
// searched before.
func ResponseHeadLength(b []byte, from int) int {
	for i := max(from-3, 0); ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0
		}
		i += n + 1
		switch {
		case i < len(b) && b[i] == '\n':
			return i + 1
		case i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n':
			return i + 2
		}
	}
}

// ErrOwnLimit is in errors of responses that only a limit of ours says no to.
var ErrOwnLimit = errors.New("a limit of sluice's own")

// Parse parses the head of a response, with the empty line that ends it. A
// backend may end lines in LF alone and put spaces before a colon; what it
// says about framing must be as clear as a client's.
func (r *Response) Parse(raw []byte) error {
	r.Reset()
	line, rest := cutLine(raw)
	v, err := r.parseStatusLine(line)
	if err != nil {
		return err
	}
	for {
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		if colon := bytes.IndexByte(line, ':'); colon > 0 && line[colon-1] == ' ' {
			line = append(bytes.TrimRight(line[:colon:colon], " \t"), line[colon:]...) // a copy: rare
		}
		f, ok := ParseField(line)
		if !ok {
			return fmt.Errorf("malformed header line %.80q", line)
		}
		if len(r.Fields) >= r.Limits.maxFields() {
			return fmt.Errorf("too many header lines: %w", ErrOwnLimit)
		}
		r.Fields = append(r.Fields, f)
	}
	return r.interpret(v)
}

// cutLine cuts the first line off b, without its line end.
func cutLine(b []byte) (line, rest []byte) {
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		return b, nil
	}
	return bytes.TrimSuffix(b[:n], []byte("\r")), b[n+1:]
}

func (r *Response) parseStatusLine(line []byte) (v Version, err error) {
	const size = len("HTTP/1.1 200")
	if len(line) < size || len(line) > size && line[size] != ' ' {
		return 0, fmt.Errorf("malformed status line %.80q", line)
	}
	if line[7] == '0' {
		v = HTTP10
	}
	if !isHTTP1(line[:8]) || line[8] != ' ' {
		return 0, fmt.Errorf("unknown protocol in status line %.80q", line)
	}
	status, ok := ParseLength(line[9:size])
	if !ok || status < 100 {
		return 0, fmt.Errorf("bad status in status line %.80q", line)
	}
	r.Status = int(status)
	if len(line) > size {
		r.Phrase = line[size+1:]
	}
	if !IsFieldValue(r.Phrase) {
		return 0, errors.New("a control byte in the status line")
	}
	return v, nil
}

// interpret draws from the fields what concerns framing and the connection.
func (r *Response) interpret(v Version) error {
	var lengths, encodings int
	var keepAlive bool
	r.Length, r.KeepAlive = NoLength, NoHint
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.Kind {
		case KindPlain:
			if len(f.Name) == len("www-authenticate") && EqualFold(f.Name, "www-authenticate") {
				r.Binds = r.Binds || BindsConnection(f.Value)
			}
		case KindHop:
			switch {
			case EqualFold(f.Name, "keep-alive"):
				r.KeepAlive = KeepAliveTimeout(f.Value)
			case EqualFold(f.Name, "proxy-authenticate"):
				r.Binds = r.Binds || BindsConnection(f.Value)
			}
		case KindContentLength:
			n, ok := ParseLength(f.Value)
			if !ok {
				return fmt.Errorf("bad Content-Length %.40q", f.Value)
			}
			if lengths > 0 && n != r.Length {
				return errors.New("two different Content-Lengths")
			}
			lengths++
			r.Length = n
		case KindTransferEncoding:
			if encodings++; encodings > 1 || v == HTTP10 || !EqualFold(f.Value, "chunked") {
				return fmt.Errorf("bad Transfer-Encoding %.40q", f.Value)
			}
		case KindUpgrade:
			r.Upgrade = f.Value
		case KindConnection:
			for rest := f.Value; rest != nil; {
				var token []byte
				token, rest = NextToken(rest)
				switch {
				case EqualFold(token, "close"):
					r.Close = true
				case EqualFold(token, "keep-alive"):
					keepAlive = true
				default:
					dropNamed(r.Fields, token)
				}
			}
		}
	}
	if encodings > 0 {
		if lengths > 0 {
			return errors.New("both Content-Length and Transfer-Encoding")
		}
		r.Length = Chunked
	}
	if v == HTTP10 && !keepAlive {
		r.Close = true
	}
	return nil
}

// Answers reports whether a 101 response switches to one of the protocols in
// the request's Upgrade header.
func (r *Response) Answers(upgrade []byte) bool {
	for rest := upgrade; rest != nil; {
		var token []byte
		token, rest = NextToken(rest)
		if len(r.Upgrade) > 0 && bytes.EqualFold(token, r.Upgrade) {
			return true
		}
	}
	return false
}

// AppendResponse appends the head that is sent to the client: the backend's,
// less what was for its connection only, framed by length (NoLength adds no
// framing header) and with connection as the value of Connection unless empty.
func AppendResponse(dst []byte, r *Response, length int64, connection string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(append(dst, r.Phrase...), "\r\n"...)
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Kind {
		case KindHop, KindTE, KindOwn, KindConnection, KindUpgrade, KindTransferEncoding, KindContentLength:
		case KindTrailer:
			if length == Chunked {
				dst = AppendAnnounced(dst, f)
			}
		default:
			dst = AppendField(dst, f)
		}
	}
	dst = AppendFraming(dst, length)
	if connection != "" {
		dst = AppendLine(dst, "Connection", connection)
	}
	if r.Status == 426 && isProtocols(r.Upgrade) { // which protocols are asked for (RFC 9110 15.5.22)
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
		dst = append(append(dst, r.Upgrade...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// AppendInterim appends the head of a 1xx response.
func AppendInterim(dst []byte, r *Response) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(append(dst, r.Phrase...), "\r\n"...)
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Kind {
		case KindHop, KindTE, KindOwn, KindConnection, KindTransferEncoding, KindContentLength, KindTrailer:
		case KindUpgrade:
			if r.Status == 101 {
				dst = AppendField(dst, f)
			}
		default:
			dst = AppendField(dst, f)
		}
	}
	if r.Status == 101 {
		dst = append(dst, "Connection: Upgrade\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// AppendFraming appends the line that frames a body of that length, if there is
// one.
func AppendFraming(dst []byte, length int64) []byte {
	switch {
	case length == Chunked:
		return append(dst, "Transfer-Encoding: chunked\r\n"...)
	case length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, length, 10)
		return append(dst, "\r\n"...)
	}
	return dst
}

// isProtocols reports whether b is a list of protocols.
func isProtocols(b []byte) bool {
	for rest := b; rest != nil; {
		var token []byte
		if token, rest = NextToken(rest); !isProtocol(token) {
			return false
		}
	}
	return len(b) > 0
}

// KeepAliveTimeout returns what the value of a Keep-Alive header says of the
// time for which the backend keeps an idle connection, or NoHint.
func KeepAliveTimeout(value []byte) time.Duration {
	for rest := value; rest != nil; {
		var param []byte
		param, rest = NextToken(rest)
		const name = len("timeout")
		if len(param) <= name || !EqualFold(param[:name], "timeout") {
			continue
		}
		digits := TrimSpace(param[name:])
		if len(digits) == 0 || digits[0] != '=' {
			continue
		}
		digits = TrimSpace(digits[1:])
		if n := len(digits); n > 1 && digits[0] == '"' && digits[n-1] == '"' {
			digits = digits[1 : n-1]
		}
		if n, ok := ParseLength(digits); ok {
			return time.Duration(min(n, int64(longestHint/time.Second))) * time.Second
		}
	}
	return NoHint
}

// BindsConnection reports whether the value of Authorization, or a list of
// challenges in WWW-Authenticate or Proxy-Authenticate, is of a scheme that
// authenticates a connection and not a request: NTLM, or Negotiate (RFC 4559).
func BindsConnection(value []byte) bool {
	for rest := value; rest != nil; {
		var item []byte
		item, rest = NextToken(rest)
		scheme := item
		for i, c := range item {
			if c == ' ' || c == '\t' {
				scheme = item[:i]
				break
			}
		}
		if EqualFold(scheme, "ntlm") || EqualFold(scheme, "negotiate") {
			return true
		}
	}
	return false
}
