package l7

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// response is the head of a backend's response. Its slices alias the bytes it
// was parsed from.
type response struct {
	status int
	phrase []byte
	fields []field
	length int64 // of the body, if there is one: its length, chunked, or noLength
	close  bool  // the backend closes its connection afterwards
	upgr   []byte
	keep   time.Duration // for which the backend keeps the connection when it is idle, or noHint
	binds  bool          // it authenticates the connection, or asks to
	limits limits        // that parse keeps to; whoever parses sets them
}

func (r *response) reset() {
	clear(r.fields)
	*r = response{fields: r.fields[:0], limits: r.limits}
}

// hasBody reports whether a body follows the head of a response to method.
func (r *response) hasBody(method []byte) bool {
	return r.length != 0 && r.status >= 200 && r.status != 204 && r.status != 304 && string(method) != "HEAD"
}

// headLength returns the length of the head that b begins with, the empty
// line included, or 0 if b does not hold all of it. from is how much of b was
// searched before.
func headLength(b []byte, from int) int {
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

// errOwnLimit is in errors of responses that only a limit of ours says no to.
var errOwnLimit = errors.New("a limit of sluice's own")

// parse parses the head of a response, with the empty line that ends it. A
// backend may end lines in LF alone and put spaces before a colon; what it
// says about framing must be as clear as a client's.
func (r *response) parse(raw []byte) error {
	r.reset()
	line, rest := cutLine(raw)
	http10, err := r.parseStatusLine(line)
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
		f, ok := parseField(line)
		if !ok {
			return fmt.Errorf("malformed header line %.80q", line)
		}
		if len(r.fields) >= r.limits.maxFields() {
			return fmt.Errorf("too many header lines: %w", errOwnLimit)
		}
		r.fields = append(r.fields, f)
	}
	return r.interpret(http10)
}

// cutLine cuts the first line off b, without its line end.
func cutLine(b []byte) (line, rest []byte) {
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		return b, nil
	}
	return bytes.TrimSuffix(b[:n], []byte("\r")), b[n+1:]
}

func (r *response) parseStatusLine(line []byte) (http10 bool, err error) {
	const size = len("HTTP/1.1 200")
	if len(line) < size || len(line) > size && line[size] != ' ' {
		return false, fmt.Errorf("malformed status line %.80q", line)
	}
	if http10 = line[7] == '0'; !isHTTP1(line[:8]) || line[8] != ' ' {
		return false, fmt.Errorf("unknown protocol in status line %.80q", line)
	}
	status, ok := parseLength(line[9:size])
	if !ok || status < 100 {
		return false, fmt.Errorf("bad status in status line %.80q", line)
	}
	r.status = int(status)
	if len(line) > size {
		r.phrase = line[size+1:]
	}
	if !isFieldValue(r.phrase) {
		return false, errors.New("a control byte in the status line")
	}
	return http10, nil
}

// interpret draws from the fields what concerns framing and the connection.
func (r *response) interpret(http10 bool) error {
	var lengths, encodings int
	var keepAlive bool
	r.length, r.keep = noLength, noHint
	for i := range r.fields {
		f := &r.fields[i]
		switch f.kind {
		case kindPlain:
			if len(f.name) == len("www-authenticate") && equalFold(f.name, "www-authenticate") {
				r.binds = r.binds || bindsConnection(f.value)
			}
		case kindHop:
			switch {
			case equalFold(f.name, "keep-alive"):
				r.keep = keepAliveTimeout(f.value)
			case equalFold(f.name, "proxy-authenticate"):
				r.binds = r.binds || bindsConnection(f.value)
			}
		case kindContentLength:
			n, ok := parseLength(f.value)
			if !ok {
				return fmt.Errorf("bad Content-Length %.40q", f.value)
			}
			if lengths > 0 && n != r.length {
				return errors.New("two different Content-Lengths")
			}
			lengths++
			r.length = n
		case kindTransferEncoding:
			if encodings++; encodings > 1 || http10 || !equalFold(f.value, "chunked") {
				return fmt.Errorf("bad Transfer-Encoding %.40q", f.value)
			}
		case kindUpgrade:
			r.upgr = f.value
		case kindConnection:
			for rest := f.value; rest != nil; {
				var token []byte
				token, rest = nextToken(rest)
				switch {
				case equalFold(token, "close"):
					r.close = true
				case equalFold(token, "keep-alive"):
					keepAlive = true
				default:
					dropNamed(r.fields, token)
				}
			}
		}
	}
	if encodings > 0 {
		if lengths > 0 {
			return errors.New("both Content-Length and Transfer-Encoding")
		}
		r.length = chunked
	}
	if http10 && !keepAlive {
		r.close = true
	}
	return nil
}

// answers reports whether a 101 response switches to one of the protocols in
// the request's Upgrade header.
func (r *response) answers(upgrade []byte) bool {
	for rest := upgrade; rest != nil; {
		var token []byte
		token, rest = nextToken(rest)
		if len(r.upgr) > 0 && bytes.EqualFold(token, r.upgr) {
			return true
		}
	}
	return false
}
