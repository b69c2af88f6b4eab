package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"sluice/pkg/backend"
	"sluice/pkg/proxyproto"
)

// Layer is how much of a backend a check tests.
type Layer uint8

const (
	Nothing Layer = iota
	Connect       // that a connection can be made
	Answer        // that a request is answered as it should be
)

// Result is what a check found beside that it passed.
type Result struct {
	// Tested is what has been tested.
	Tested Layer
	// Word is what the backend says of itself, and BadWord what it says that
	// cannot be understood.
	Word    backend.Word
	BadWord string
}

// Check is one way to find out whether a backend answers.
type Check interface {
	// Probe returns no error if the backend at addr, host:port, answers as it
	// should before ctx ends. It is safe for concurrent use.
	Probe(ctx context.Context, addr string) (Result, error)
	// String names the check for logs, for instance "tcp check".
	String() string
}

// Via is how backends are reached. The zero value is a bare connection.
type Via struct {
	// ProxyOut is the version of the PROXY header, 1 or 2, with which their
	// connections begin; 0 for none. A check stands for nobody (LOCAL).
	ProxyOut int
	// TLS, if not nil, is spoken with them.
	TLS *tls.Config
}

// dial connects and sends the header.
func (v Via) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil || v.ProxyOut == 0 {
		return c, err
	}
	header := proxyproto.Append(nil, v.ProxyOut, proxyproto.Local, addrPort(c.LocalAddr()), addrPort(c.RemoteAddr()))
	if _, err := c.Write(header); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}

// TCPCheck passes if a TCP connection can be made.
type TCPCheck struct{}

// Probe connects and closes the connection with a reset, as HAProxy does: the
// backend then has nothing to keep, and no port of ours waits in TIME_WAIT.
func (TCPCheck) Probe(ctx context.Context, addr string) (Result, error) {
	d := net.Dialer{KeepAlive: -1} // which would be four calls for nothing
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return Result{}, err
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	return Result{Tested: Connect}, c.Close()
}

func (TCPCheck) String() string { return "tcp check" }

// HTTPCheck passes if a GET answers with a status from 200 to 399, or with 503
// and the word "drain" in WordHeader: who asks to be drained is not broken.
type HTTPCheck struct {
	scheme string
	path   string
	client *http.Client
}

// NewHTTPCheck returns a check that asks for path, which begins with a slash.
// Every probe uses a connection of its own, because that is what it checks.
func NewHTTPCheck(path string, via Via) *HTTPCheck {
	h := &HTTPCheck{scheme: "http", path: path, client: &http.Client{
		Transport: &http.Transport{
			DialContext: via.dial, TLSClientConfig: via.TLS.Clone(), // Transport adds ALPN to it
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a redirect is an answer
		},
	}}
	if via.TLS != nil {
		h.scheme = "https"
	}
	return h
}

// Probe asks once.
func (h *HTTPCheck) Probe(ctx context.Context, addr string) (Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.scheme+"://"+addr+h.path, nil)
	if err != nil {
		return Result{}, fmt.Errorf("cannot make a request for %q: %w", addr+h.path, err)
	}
	req.Header.Set("User-Agent", "sluice-health-check")
	resp, err := h.client.Do(req)
	if err != nil {
		return Result{}, err
	}
	resp.Body.Close()
	r := Result{Tested: Answer}
	r.Word, r.BadWord = parseWord(strings.Join(resp.Header.Values(WordHeader), ","))
	if good := resp.StatusCode >= 200 && resp.StatusCode <= 399; !good && !(resp.StatusCode == http.StatusServiceUnavailable && r.Word.Drain) {
		return Result{}, fmt.Errorf("status %d", resp.StatusCode)
	}
	return r, nil
}

func (h *HTTPCheck) String() string { return "http check" }

// ParseCheck returns the check that spec names: "tcp", "http:/path", or nil
// for "none". An HTTP check goes the way of via; for a TCP check, a connection
// is enough.
func ParseCheck(spec string, via Via) (Check, error) {
	switch {
	case spec == "tcp":
		return TCPCheck{}, nil
	case spec == "none":
		return nil, nil
	case strings.HasPrefix(spec, "http:/"):
		return NewHTTPCheck(strings.TrimPrefix(spec, "http:"), via), nil
	}
	return nil, fmt.Errorf("unknown check %q; known are tcp, http:/PATH and none", spec)
}
