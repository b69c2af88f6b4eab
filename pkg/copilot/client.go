package copilot

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// newClient returns a client that follows no redirect, which would take the key
// elsewhere, and reads no more of an answer than is bounded.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &http.Client{
		Transport:     bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded bounds the bodies of responses, and turns those away that are no answer
// of an API.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		// The libraries cannot tell of a body that is not theirs.
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // as far as it comes
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(text))
		if resp.StatusCode < 400 || !json.Valid(text) {
			return nil, refusal{resp.StatusCode, strings.TrimSpace(string(text))}
		}
		return resp, nil
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{&uncommented{from: bufio.NewReader(&limited{resp.Body, maxAnswer})}, resp.Body}
	return resp, nil
}

// limited fails when more than left bytes come.
type limited struct {
	r    io.Reader
	left int
}

func (l *limited) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.left -= n; l.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// uncommented leaves the comments of an event stream out, by which some servers
// keep a connection alive: the library of OpenAI takes one for an event without
// data, which it cannot read.
type uncommented struct {
	from *bufio.Reader
	rest []byte // of a line that is passed on
	open bool   // the event has a field
}

func (u *uncommented) Read(b []byte) (int, error) {
	for len(u.rest) == 0 {
		line, err := u.from.ReadBytes('\n')
		blank := len(bytes.TrimRight(line, "\r\n")) == 0
		switch {
		case len(line) > 0 && line[0] == ':', blank && !u.open:
		default:
			u.rest, u.open = line, !blank
		}
		if err != nil && len(u.rest) == 0 {
			return 0, err
		}
	}
	n := copy(b, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}
