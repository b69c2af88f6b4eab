package mirror

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"

	"sluice/pkg/backend"
)

// copyKey is what a copy's context has it by, for who dials.
type copyKey struct{}

// newTransport returns what copies to backends of HTTP/2 go by. Nobody waits for
// those, so that net/http's ways with connections and retries are good enough.
func newTransport() *http.Transport {
	t := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true, IdleConnTimeout: idleTime, MaxIdleConnsPerHost: maxIdle,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(copyKey{}).(*Copy).dial(ctx)
		},
	}
	t.DialTLSContext = t.DialContext
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// dial connects to the copy's backend, by TLS if that is to be.
func (r *Copy) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Connect)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", r.Backend.Addr())
	if err != nil || r.TLS == nil {
		return c, err
	}
	tc := tls.Client(c, r.TLS)
	if err := tc.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return tc, nil
}

// exchange2 is exchange with a backend of HTTP/2.
func (m *Sender) exchange2(r *Copy) error {
	ctx, cancel := context.WithTimeout(context.WithValue(m.closing, copyKey{}, r), longest)
	defer cancel()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.Message)))
	if err != nil {
		return err
	}
	req.RequestURI, req.URL.Scheme, req.URL.Host = "", "http", r.Backend.Addr()
	if r.Backend.Target().Protocol == backend.H2 {
		req.URL.Scheme = "https"
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
		req.Header.Del(name)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "") // none of Go's
	}
	resp, err := m.transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer+1)); err != nil || n <= maxAnswer {
		return err
	}
	return errTooLong
}
