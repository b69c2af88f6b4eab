package consul

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
)

// errHidden is the error of an empty answer that is empty because of ACLs.
var errHidden = errors.New("consul: entries hidden by ACLs")

// contact knows whether Consul answers, and logs when that changes.
type contact struct {
	log  *slog.Logger
	lost *atomic.Int64 // how many are without contact of those that speak as one; nil: it is alone

	// mu protects the fields below.
	mu       sync.Mutex
	failures int             // in a row; 0 while in contact
	since    time.Time       // when the first of them happened
	reason   string          // of the last of them
	told     map[string]bool // the reasons that were logged of this outage
}

// trouble returns why Consul does not answer, and since when; nothing while it
// does.
func (c *contact) trouble() (reason string, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures == 0 {
		return "", time.Time{}
	}
	return c.reason, c.since
}

// failed takes note of a query that brought no usable answer; kept members
// stay in use. It returns how many there have been in a row.
func (c *contact) failed(now time.Time, err error, kept int) (failures int) {
	reason := explain(err)
	c.mu.Lock()
	if c.failures == 0 {
		c.since, c.told = now, make(map[string]bool)
	}
	news := !c.told[reason]
	c.told[reason] = true
	c.reason = reason
	c.failures++
	failures = c.failures
	c.mu.Unlock()
	if c.lost != nil && failures == 1 && c.lost.Add(1) > 1 {
		return failures // another one has said so
	}
	switch {
	case c.lost != nil && c.lost.Load() > 1:
	case failures == 1:
		c.log.Warn("lost contact with Consul", "reason", reason, "kept_members", kept, "err", err)
	case news:
		c.log.Warn("still no contact with Consul", "reason", reason, "kept_members", kept, "err", err)
	}
	return failures
}

// succeeded takes note of a usable answer.
func (c *contact) succeeded(now time.Time) {
	c.mu.Lock()
	failures, since := c.failures, c.since
	c.failures, c.reason = 0, ""
	c.mu.Unlock()
	if failures > 0 && (c.lost == nil || c.lost.Add(-1) == 0) {
		c.log.Info("regained contact with Consul", "lost_for", now.Sub(since).Round(time.Millisecond).String(), "failures", failures)
	}
}

// explain says what an error of a query means and what to look at.
func explain(err error) string {
	var (
		status      api.StatusError
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		notTLS      tls.RecordHeaderError
		alert       tls.AlertError
		syntax      *json.SyntaxError
		mistyped    *json.UnmarshalTypeError
	)
	switch {
	case errors.Is(err, errHidden):
		return "the ACL token may not see the service's entries: it needs service:read and node:read"
	case errors.As(err, &status):
		return explainStatus(status)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout: no answer in time; does Consul hang, or the network between drop packets?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: is an agent running and listening at this address?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to this address: is it the right one, and the network up?"
	case errors.As(err, &dns):
		return "the host name cannot be resolved"
	case errors.Is(err, fs.ErrNotExist):
		return "no such socket: is the agent running, and the path right?"
	case errors.Is(err, fs.ErrPermission):
		return "the socket may not be used: see its mode and owner (unix_sockets in the agent's configuration)"
	case errors.As(err, &certificate):
		return "Consul's certificate is not trusted: see CONSUL_CACERT and CONSUL_TLS_SERVER_NAME"
	case errors.As(err, &alert):
		return "Consul refuses the TLS connection, as it does without a client certificate that it trusts: see CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "Consul does not speak HTTPS at this port: use http://, or its HTTPS port"
	case errors.As(err, &notTLS):
		return "no TLS at this address: is it Consul's HTTPS port?"
	case errors.As(err, &syntax), errors.As(err, &mistyped), strings.Contains(err.Error(), "malformed HTTP"):
		return "what answers here is not Consul's HTTP API: is the port that of HTTP (8500), and not that of RPC, gossip, DNS or another program?"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was closed before the answer was complete: does the agent restart, is its limit http_max_conns_per_client reached, or is this another of its ports than that of HTTP?"
	}
	return "no usable answer: see the error, and whether the address is that of Consul's HTTP API"
}

// explainStatus says what an answer with an error status means.
func explainStatus(s api.StatusError) string {
	switch {
	case s.Code == http.StatusForbidden || s.Code == http.StatusUnauthorized:
		return "access denied: the ACL token is missing, unknown or lacks service:read and node:read"
	case s.Code == http.StatusTooManyRequests && strings.Contains(s.Body, "concurrent connections"):
		return "the agent takes no more connections from this address (limits.http_max_conns_per_client, 200 by default, for all programs here together): lower --consul-max-conns, or raise the agent's limit"
	case s.Code == http.StatusTooManyRequests:
		return "Consul limits the rate of requests (limits.request_limits, or rpc_rate of a client agent): raise that"
	case unknownDatacenter(s):
		return "Consul knows no such datacenter, or no way to it: see dc= and --consul-datacenter, and consul catalog datacenters"
	case s.Code >= 500:
		return "Consul answers with an error of its own: has the cluster a leader? See consul operator raft list-peers"
	case s.Code == http.StatusBadRequest && strings.Contains(s.Body, "HTTPS server"):
		return "Consul speaks HTTPS at this port: use https://, and see CONSUL_CACERT"
	}
	return fmt.Sprintf("unexpected answer with status %d: is this Consul's HTTP API?", s.Code)
}
