package listen

import (
	"crypto/tls"
	"slices"
)

// Negotiate makes cfg, a server's, agree on an application protocol (ALPN, RFC
// 7301): on the first of protocols that the client offers. A client that offers
// others only gets the alert no_application_protocol, and one that offers
// nothing is served.
func Negotiate(cfg *tls.Config, protocols ...string) { cfg.NextProtos = protocols }

// NegotiateAny makes cfg agree to what clients offer, for bytes that are passed
// on whatever they are; see passable.
func NegotiateAny(cfg *tls.Config) {
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		p := passable(hello.SupportedProtos)
		if p == "" {
			return nil, nil // cfg as it is, which agrees to nothing
		}
		c := cfg.Clone()
		c.GetConfigForClient, c.NextProtos = nil, []string{p}
		return c, nil
	}
}

// passable returns the protocol to agree to for bytes that are passed on
// untouched, out of those that a client offers, or "". One that offers a single
// protocol, as gRPC and PostgreSQL clients do, speaks that or nothing, so to
// agree promises nothing that silence would not. With several, which one a
// backend speaks cannot be known: http/1.1 is what clients fall back to when
// nothing is agreed; without it none is.
func passable(offered []string) string {
	switch {
	case len(offered) == 1:
		return offered[0]
	case slices.Contains(offered, "http/1.1"):
		return "http/1.1"
	}
	return ""
}
