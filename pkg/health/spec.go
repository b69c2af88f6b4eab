package health

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A check is written in one line, wherever it is asked for:
//
//	none
//	tcp [port=N] [send=TEXT] [expect=TEXT] ...
//	grpc[:SERVICE] [port=N]
//	http:/PATH [host=NAME] [port=N] [method=M] [status=LIST] [body=TEXT] [header=NAME:VALUE] ...
//
// Options are separated by blanks. A value that has blanks is put into quotes,
// in which \r, \n, \t, \xHH, \" and \\ stand for bytes. send= and expect= may
// come several times and are taken in order; so may header=. A port of its own is
// reached by a bare connection. A list of
// statuses is made of 200, 200-399 and 2xx, with "," or "|" between them.

// httpSpec is what an HTTP check asks for and expects.
type httpSpec struct {
	path   string
	method string
	host   string // empty: the backend's address
	header http.Header
	status statuses // empty: 200 to 399
	body   string   // that the body must contain; empty: anything
}

// statuses are ranges of status codes.
type statuses [][2]int

func (s statuses) has(code int) bool {
	if len(s) == 0 {
		return code >= 200 && code <= 399
	}
	return slices.ContainsFunc(s, func(r [2]int) bool { return r[0] <= code && code <= r[1] })
}

// parseStatuses reads a list such as 200-299,304 or 2xx|3xx.
func parseStatuses(list string) (all statuses, err error) {
	for _, part := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' }) {
		low, high, isRange := strings.Cut(part, "-")
		if class, ok := strings.CutSuffix(strings.ToLower(part), "xx"); ok {
			low, high = class+"00", class+"99"
		} else if !isRange {
			high = low
		}
		from, bad := strconv.Atoi(low)
		to, bad2 := strconv.Atoi(high)
		if bad != nil || bad2 != nil || len(low) != 3 || len(high) != 3 || from < 100 || to > 599 || from > to {
			return nil, fmt.Errorf("status=%s is not a list of statuses such as 200, 200-399 or 2xx", list)
		}
		all = append(all, [2]int{from, to})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("status= is empty")
	}
	return all, nil
}

// ParseCheck returns the check that spec asks for, or nil for "none". It goes
// the way of via; for a TCP check without a conversation, a connection is
// enough, with the PROXY header and the TLS handshake that via asks for. What could never pass is refused.
func ParseCheck(spec string, via Via) (Check, error) {
	words, err := splitWords(spec)
	if err != nil {
		return nil, fmt.Errorf("check %q: %w", spec, err)
	}
	if len(words) == 0 {
		words = []string{""}
	}
	var check Check
	var port string
	switch kind, options := words[0], words[1:]; {
	case kind == "none" && len(options) == 0:
		return nil, nil
	case kind == "none":
		err = fmt.Errorf("none has no options")
	case kind == "tcp":
		check, port, err = parseTalk(options, via)
	case kind == "grpc" || strings.HasPrefix(kind, "grpc:"):
		check, port, err = parseGRPC(strings.TrimPrefix(strings.TrimPrefix(kind, "grpc"), ":"), options, via)
	case strings.HasPrefix(kind, "http:/"):
		check, port, err = parseHTTP(strings.TrimPrefix(kind, "http:"), options, via)
	default:
		return nil, fmt.Errorf("unknown check %q; known are tcp, http:/PATH, grpc[:SERVICE] and none", spec)
	}
	if err != nil {
		return nil, fmt.Errorf("check %q: %w", spec, err)
	}
	if port != "" {
		check = onPort{check, port}
	}
	return check, nil
}

func parseTalk(options []string, via Via) (check Check, port string, err error) {
	t := &TalkCheck{}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch {
		case key == "port":
			port, err = parsePort(value)
		case value == "" && (key == "send" || key == "expect"):
			err = fmt.Errorf("%s= is empty", key)
		case key == "send" || key == "expect":
			t.steps = append(t.steps, step{expect: key == "expect", text: value})
		default:
			err = fmt.Errorf("unknown option %q; a tcp check has port=, send= and expect=", o)
		}
		if err != nil {
			return nil, "", err
		}
	}
	t.via = viaTo(port, via)
	t.via.HTTP2 = false // it says what it is told to
	if len(t.steps) == 0 && t.via == (Via{}) {
		return TCPCheck{}, port, nil
	}
	return t, port, nil
}

func parseHTTP(path string, options []string, via Via) (check Check, port string, err error) {
	s := httpSpec{path: path, method: http.MethodGet, header: make(http.Header)}
	if err := checkPath(path); err != nil {
		return nil, "", err
	}
	seen := make(map[string]bool)
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		if seen[key] && key != "header" {
			return nil, "", fmt.Errorf("%s= comes twice", key)
		}
		seen[key] = true
		switch key {
		case "port":
			port, err = parsePort(value)
		case "host":
			if s.host = value; value == "" || strings.ContainsFunc(value, notInHost) {
				err = fmt.Errorf("host=%s is not a host", value)
			}
		case "method":
			if s.method = value; !isToken(value) || value == http.MethodConnect {
				err = fmt.Errorf("method=%s is not a method", value)
			}
		case "status":
			s.status, err = parseStatuses(value)
		case "body":
			if s.body = value; value == "" {
				err = fmt.Errorf("body= is empty")
			}
		case "header":
			err = s.setHeader(value)
		default:
			err = fmt.Errorf("unknown option %q; an http check has host=, port=, method=, status=, body= and header=", o)
		}
		if err != nil {
			return nil, "", err
		}
	}
	if s.body != "" && s.method == http.MethodHead {
		return nil, "", fmt.Errorf("a response to HEAD has no body")
	}
	return newHTTPCheck(s, viaTo(port, via)), port, nil
}

// viaTo returns how the port of a check is reached: as traffic is, or if it is one
// of the check's own by a bare connection, as with HAProxy.
func viaTo(port string, via Via) Via {
	if port != "" {
		return Via{}
	}
	return via
}

// checkPath refuses a path that no request can ask for.
func checkPath(path string) error {
	switch u, err := url.ParseRequestURI(path); {
	case strings.HasPrefix(path, "//"):
		return fmt.Errorf("http:/PATH has no host and no port; those are options, as in \"http:/PATH host=NAME port=N\"")
	case err != nil:
		return fmt.Errorf("the path cannot be asked for: %w", err)
	case u.Host != "" || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }):
		return fmt.Errorf("the path has characters that are to be written as %%HH")
	}
	return nil
}

// setHeader takes NAME:VALUE.
func (s *httpSpec) setHeader(line string) error {
	name, value, ok := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	if !ok || !isToken(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fmt.Errorf("header=%q is not NAME:VALUE", line)
	}
	name = http.CanonicalHeaderKey(name)
	switch name {
	case "Host":
		return fmt.Errorf("header=%s: host= sets it", line)
	case "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Te", "Upgrade", "Expect", "Keep-Alive", "Proxy-Connection":
		return fmt.Errorf("header=%s frames the request, which is not for a check to say", line)
	}
	s.header.Add(name, value)
	return nil
}

func parsePort(value string) (string, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("port=%s is not a number from 1 to 65535", value)
	}
	return value, nil
}

// splitWords splits a line at blanks outside of quotes, and takes the quotes
// off.
func splitWords(line string) (words []string, err error) {
	var word []byte
	in, quoted := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '"':
			in, quoted = true, !quoted
		case quoted && c == '\\':
			b, n, ok := unescape(line[i+1:])
			if !ok {
				return nil, fmt.Errorf("what follows a backslash in quotes must be r, n, t, xHH, a quote or a backslash")
			}
			word, i = append(word, b), i+n
		case !quoted && (c == ' ' || c == '\t'):
			if in {
				words = append(words, string(word))
			}
			word, in = word[:0], false
		default:
			word, in = append(word, c), true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if in {
		words = append(words, string(word))
	}
	return words, nil
}

// unescape returns the byte that s, what follows a backslash, begins with, and
// of how many it is made.
func unescape(s string) (b byte, n int, ok bool) {
	if s == "" {
		return 0, 0, false
	}
	switch s[0] {
	case 'r':
		return '\r', 1, true
	case 'n':
		return '\n', 1, true
	case 't':
		return '\t', 1, true
	case '"', '\\':
		return s[0], 1, true
	case 'x':
		if len(s) >= 3 {
			v, err := strconv.ParseUint(s[1:3], 16, 8)
			return byte(v), 3, err == nil
		}
	}
	return 0, 0, false
}

// Quote returns text as splitWords reads it as a part of a word.
func Quote(text string) string {
	b := []byte{'"'}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c < ' ' || c == 0x7f:
			b = fmt.Appendf(b, `\x%02x`, c)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_[]:", r)
}

// isToken reports whether s can be a method or the name of a header (RFC 9110
// 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
