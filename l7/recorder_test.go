package l7

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// message is a request as the strict recorder understands it.
type message struct {
	method, target string
	host           string
	chunked        bool
	body, trailer  string
}

// String returns what the recorder answers.
func (m *message) String() string {
	return fmt.Sprintf("%s %s %s [%s] [%s]", m.method, m.target, m.host, m.body, m.trailer)
}

var (
	errShort = errors.New("there is more to come")

	strictLine   = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[^\x00-\x20\x7f#]*|\\*) HTTP/1\\.1$")
	strictField  = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\x00-\x08\x0a-\x1f\x7f]*)$")
	strictHost   = regexp.MustCompile(`^([0-9A-Za-z!$%&'()*+,\-.;=_~]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?$`)
	strictLength = regexp.MustCompile(`^[0-9]{1,19}$`)
	strictChunk  = regexp.MustCompile(`^(0|[1-9a-f][0-9a-f]{0,14})$`)

	// never are the fields that no backend may see as the client sent them.
	never = regexp.MustCompile(`(?i)^(keep-alive|proxy-.*|te|expect|http2-settings|content_length|transfer_encoding|x_forwarded_.*|connection)$`)
	// neverTrail are those that no trailer section may have.
	neverTrail = regexp.MustCompile(`(?i)^(content-.*|transfer[-_]encoding|host|trailer|te|upgrade|connection|authorization|cookie|set-cookie|x-forwarded-.*|forwarded|expect|content_length|keep-alive)$`)
)

// readStrict reads the request that b begins with and returns its length. It
// shares nothing with the code under test. What it does not take for a request
// that every program reads alike is an error; errShort means that b ends too
// early.
func readStrict(b string) (*message, int, error) {
	head, _, whole := strings.Cut(b, "\r\n\r\n")
	if !whole {
		if i := strings.IndexAny(b, "\x00\x7f"); i >= 0 {
			return nil, 0, fmt.Errorf("a control byte in a head: %q", b)
		}
		return nil, 0, errShort
	}
	n := len(head) + 4
	lines := strings.Split(head, "\r\n")
	first := strictLine.FindStringSubmatch(lines[0])
	if first == nil {
		return nil, 0, fmt.Errorf("bad request line %q", lines[0])
	}
	m := &message{method: first[1], target: first[2]}
	length := int64(-1)
	hosts := 0
	for _, line := range lines[1:] {
		f := strictField.FindStringSubmatch(line)
		if f == nil || strings.TrimSpace(f[2]) != f[2] && f[2] != "" && strings.Trim(f[2], " \t") != f[2] {
			return nil, 0, fmt.Errorf("bad header line %q", line)
		}
		name, value := strings.ToLower(f[1]), f[2]
		switch {
		case name == "host":
			hosts++
			m.host = value
			if !strictHost.MatchString(value) {
				return nil, 0, fmt.Errorf("bad Host %q", value)
			}
		case name == "content-length":
			if length >= 0 || !strictLength.MatchString(value) {
				return nil, 0, fmt.Errorf("bad or second Content-Length in %q", head)
			}
			length, _ = strconv.ParseInt(value, 10, 64)
		case name == "transfer-encoding":
			if m.chunked || value != "chunked" {
				return nil, 0, fmt.Errorf("bad or second Transfer-Encoding in %q", head)
			}
			m.chunked = true
		case name == "connection" && value == "Upgrade":
		case never.MatchString(name):
			return nil, 0, fmt.Errorf("a field that must not be passed on: %q", line)
		}
	}
	if hosts != 1 || m.chunked && length >= 0 {
		return nil, 0, fmt.Errorf("an ambiguous head: %q", head)
	}
	if !m.chunked {
		if length < 0 {
			length = 0
		}
		if int64(len(b)-n) < length {
			return nil, 0, errShort
		}
		m.body = b[n : n+int(length)]
		return m, n + int(length), nil
	}
	for {
		line, rest, whole := strings.Cut(b[n:], "\r\n")
		if !whole {
			return nil, 0, errShort
		}
		if !strictChunk.MatchString(line) {
			return nil, 0, fmt.Errorf("bad chunk size %q", line)
		}
		size, _ := strconv.ParseInt(line, 16, 64)
		n += len(line) + 2
		if size == 0 {
			break
		}
		if int64(len(rest)) < size+2 {
			return nil, 0, errShort
		}
		m.body += rest[:size]
		n += int(size) + 2
		if rest[size:size+2] != "\r\n" {
			return nil, 0, fmt.Errorf("no line end after a chunk of %q", b)
		}
	}
	for {
		line, _, whole := strings.Cut(b[n:], "\r\n")
		if !whole {
			return nil, 0, errShort
		}
		n += len(line) + 2
		if line == "" {
			return m, n, nil
		}
		f := strictField.FindStringSubmatch(line)
		if f == nil || neverTrail.MatchString(f[1]) {
			return nil, 0, fmt.Errorf("bad trailer line %q", line)
		}
		m.trailer += line + ";"
	}
}

// recorder is a backend that fails the test at the first byte it could take
// for two things, and remembers the requests that were complete.
type recorder struct {
	addr string

	mu       sync.Mutex
	messages []string
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	r.addr = newRawBackend(t, func(_ int, c *rawConn) {
		var seen []byte
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			seen = append(seen, buf[:n]...)
			for len(seen) > 0 {
				m, n, err := readStrict(string(seen))
				if errors.Is(err, errShort) {
					break
				}
				if err != nil {
					t.Errorf("the backend was sent what is no clear request: %v", err)
					return
				}
				seen = seen[n:]
				r.mu.Lock()
				r.messages = append(r.messages, m.String())
				r.mu.Unlock()
				body := m.String()
				if m.method == "HEAD" {
					body = ""
				}
				if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(m.String()), body); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	return r
}

// take returns the requests seen since it was last called.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.messages
	r.messages = nil
	return m
}
