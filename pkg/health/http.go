package health

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxAnswer is how much of an answer is looked at, in bytes.
const maxAnswer = 64 << 10

// HTTPCheck passes if a request is answered with a status that is expected, 200
// to 399 if nothing else is said, and with the text that is expected; or with
// 503 and the word "drain" in WordHeader: who asks to be drained is not broken.
type HTTPCheck struct {
	spec   httpSpec
	scheme string
	client *http.Client
}

// newHTTPCheck returns a check by spec. Every probe uses a connection of its own,
// because that is what it checks.
func newHTTPCheck(spec httpSpec, via Via) *HTTPCheck {
	h := &HTTPCheck{spec: spec, scheme: "http", client: &http.Client{
		Transport: via.transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a redirect is an answer
		},
	}}
	if via.TLS != nil {
		h.scheme = "https"
	}
	return h
}

// transport returns what makes requests, each on a connection of its own.
func (v Via) transport() *http.Transport {
	tr := &http.Transport{
		DialContext: v.dial, TLSClientConfig: v.TLS.Clone(), // Transport adds ALPN to it
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	if v.HTTP2 {
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP2(v.TLS != nil)
		tr.Protocols.SetUnencryptedHTTP2(v.TLS == nil)
	}
	return tr
}

// Probe asks once.
func (h *HTTPCheck) Probe(ctx context.Context, addr string) (Result, error) {
	s := &h.spec
	req, err := http.NewRequestWithContext(ctx, s.method, h.scheme+"://"+addr+s.path, nil)
	if err != nil {
		return Result{}, fmt.Errorf("cannot make a request for %q: %w", addr+s.path, err)
	}
	req.Header.Set("User-Agent", "sluice-health-check")
	for name, values := range s.header {
		req.Header[name] = values
	}
	if s.host != "" {
		req.Host = s.host
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return Result{}, err
	}
	defer finish(resp.Body)
	r := Result{Tested: Answer}
	var down string
	if r.Word, down, r.BadWord = parseWord(strings.Join(resp.Header.Values(WordHeader), ",")); down != "" {
		return Result{}, fmt.Errorf("it says itself that it is %s", down)
	}
	if resp.StatusCode == http.StatusServiceUnavailable && r.Word.Drain {
		return r, nil
	}
	if !s.status.has(resp.StatusCode) {
		return Result{}, fmt.Errorf("status %d", resp.StatusCode)
	}
	if s.body == "" {
		return r, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case bytes.Contains(body, []byte(s.body)):
		return r, nil
	case err != nil:
		return Result{}, fmt.Errorf("cannot read the body: %w", err)
	}
	return Result{}, fmt.Errorf("no %q in the body, which begins with %.40q", s.body, body)
}

// What is read at most of a body that nobody asked for, so that a server which
// still sends it meets no reset.
const (
	finishTime  = 200 * time.Millisecond
	finishBytes = 1 << 20
)

// finish reads the rest of a body, as far as that goes, and closes it.
func finish(body io.ReadCloser) {
	defer time.AfterFunc(finishTime, func() { body.Close() }).Stop()
	_, _ = io.Copy(io.Discard, io.LimitReader(body, finishBytes))
	body.Close()
}

func (h *HTTPCheck) String() string { return "http check" }
