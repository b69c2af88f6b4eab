package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sluice/pkg/tcp"
)

// A client that speaks HTTP where TLS is spoken is told so, as nginx and Go do
// it: a connection that is closed without a word looks like a fault of the
// network.

var errPlainHTTP = errors.New("the client speaks plain HTTP where TLS is spoken")

const (
	plainHTTPText = "This port speaks HTTPS, and a plain HTTP request came.\n"
	// dateForm is that of Date (RFC 9110 5.6.7).
	dateForm = "Mon, 02 Jan 2006 15:04:05 GMT"
	// plainHTTPLinger and plainHTTPRest bound what is still read of such a
	// client: closing with bytes unread would reset the connection, and take the
	// answer with it.
	plainHTTPLinger = time.Second
	plainHTTPRest   = 256 << 10
)

// spokeHTTP reports whether err, of a TLS handshake, says that what came begins
// as an HTTP request does.
func spokeHTTP(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record) && looksLikeHTTP(record.RecordHeader[:])
}

// looksLikeHTTP reports whether b, the first bytes of a connection, begin a
// request with one of the usual methods.
func looksLikeHTTP(b []byte) bool {
	return slices.ContainsFunc([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "CONNE", "TRACE", "PRI *"}, func(method string) bool {
		return strings.HasPrefix(string(b), method)
	})
}

// answerPlainHTTP answers and waits a moment until the client has read it.
func answerPlainHTTP(ctx context.Context, c *readConn) {
	deadline := time.Now().Add(plainHTTPLinger)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = c.SetDeadline(deadline)
	answer := fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-cache\r\nDate: %s\r\nX-Sluice-Reason: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		time.Now().UTC().Format(dateForm), TLSHandshake, len(plainHTTPText), plainHTTPText)
	if _, err := io.WriteString(c, answer); err == nil && tcp.CloseWrite(c) == nil {
		_, _ = io.CopyN(io.Discard, c, plainHTTPRest)
	}
}
