package listen

import (
	"net/netip"
	"time"
)

// Rejection is why a connection was closed before it was served. The set is
// closed: it is a metric label.
type Rejection uint8

// The rejections. All but NoRoute happen here; that is the business of whoever
// serves the connections.
const (
	MaxConns     Rejection = iota // the listener has as many connections as it may
	ClientConns                   // its client has
	ClientRate                    // its client opens too many a second
	ProxyHeader                   // no PROXY header came, or a bad one
	TLSHandshake                  // the TLS handshake, or its first message, failed
	NoRoute                       // no service goes by the name it asks for
	OpenFiles                     // all listeners together have as many as the open files limit allows
	Memory                        // or as the memory of the process does
	rejections
)

// String returns the rejection as metrics and logs show it.
func (r Rejection) String() string {
	return [rejections]string{"max_conns", "client_conns", "client_rate", "proxy_header", "tls_handshake", "no_route", "open_files", "memory"}[r]
}

// message says what happened, and which setting it obeys.
func (r Rejection) message() string {
	return [rejections]string{
		"too many connections; closing new ones (the limit is this listener's max-conns=)",
		"too many connections of a client; closing new ones (the limit is this listener's max-conns-per-client=)",
		"too many new connections of a client; closing them (the limit is this listener's max-rate-per-client=)",
		"closing a connection without a good PROXY header, which this listener's proxy-in= asks for",
		"closing a connection whose TLS handshake failed",
		"closing a connection for a name that no sni= of this listener has",
		"too many connections for the open files limit; closing new ones (raise the limit: ulimit -n, LimitNOFILE=, or nofile of the container)",
		"too many connections for the memory that this process may use; closing new ones (the limit is that of the control group: raise the memory of the container, or MemoryMax=)",
	}[r]
}

// Reject counts and logs a connection that was closed, or is about to be. err
// says more, and may be nil.
func (l *Listener) Reject(r Rejection, client netip.Addr, err error) {
	l.rejected[r].Inc()
	ok, dropped := l.refusals[r].Allow(time.Now())
	if !ok {
		return
	}
	attrs := []any{"listener", l.cfg.Kind, "name", l.cfg.Name, "reason", r.String(), "client", client, "more", dropped}
	if err != nil {
		attrs = append(attrs, "err", err)
	}
	l.cfg.Logger.Warn(r.message(), attrs...)
}
