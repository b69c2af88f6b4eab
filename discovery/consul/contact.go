package consul

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
)

// errHidden is the error of an empty answer that is empty because of ACLs.
var errHidden = errors.New("consul: entries hidden by ACLs")

// contact knows whether Consul answers, and logs when that changes.
type contact struct {
	log      *slog.Logger
	failures int       // in a row; 0 while in contact
	lost     time.Time // when the first of them happened
}

// failed takes note of a query that brought no usable answer; kept members
// stay in use.
func (c *contact) failed(now time.Time, err error, kept int) {
	c.failures++
	if c.failures > 1 {
		return
	}
	c.lost = now
	c.log.Warn("lost contact with Consul", "reason", explain(err), "kept_members", kept, "err", err)
}

// succeeded takes note of a usable answer.
func (c *contact) succeeded(now time.Time) {
	if c.failures == 0 {
		return
	}
	c.log.Info("regained contact with Consul", "lost_for", now.Sub(c.lost).Round(time.Millisecond).String(), "failures", c.failures)
	c.failures = 0
}

// explain says what an error of a query means and what to look at.
func explain(err error) string {
	var (
		status      api.StatusError
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		notTLS      tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, errHidden):
		return "the ACL token may not see the service's entries: it needs service:read and node:read"
	case errors.As(err, &status):
		switch {
		case status.Code == http.StatusForbidden || status.Code == http.StatusUnauthorized:
			return "access denied: the ACL token is missing, unknown or lacks service:read and node:read"
		case status.Code == http.StatusTooManyRequests:
			return "Consul limits the rate of queries"
		case status.Code >= 500:
			return "Consul answers with an error of its own: has the cluster a leader?"
		}
		return fmt.Sprintf("unexpected answer with status %d: is this Consul's HTTP API?", status.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout: no answer in time; does Consul hang, or the network between drop packets?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: is an agent running and listening at this address?"
	case errors.As(err, &dns):
		return "the host name cannot be resolved"
	case errors.Is(err, fs.ErrNotExist):
		return "no such socket: is the agent running, and the path right?"
	case errors.As(err, &certificate):
		return "Consul's certificate is not trusted: see CONSUL_CACERT and CONSUL_TLS_SERVER_NAME"
	case errors.As(err, &notTLS):
		return "no TLS at this address: is it Consul's HTTPS port?"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection was closed before the answer was complete"
	}
	return "no usable answer"
}
