package engine

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"sluice/pkg/config"
	"sluice/pkg/listen"
)

// negotiate says on which application protocols a listener, l4 or l7, agrees
// with clients of cfg, which may be nil. alpn is what an operator has set.
func negotiate(cfg *tls.Config, kind string, alpn []string) {
	switch {
	case cfg == nil, len(alpn) == 1 && alpn[0] == config.ALPNNone:
	case kind == "l7" && slices.Contains(alpn, "h2"):
		listen.Negotiate(cfg, "h2", "http/1.1", "http/1.0")
	case kind == "l7":
		listen.Negotiate(cfg, "http/1.1", "http/1.0")
	case len(alpn) > 0:
		listen.Negotiate(cfg, alpn...)
	default:
		listen.NegotiateAny(cfg)
	}
}

// backendTLS returns how TLS is spoken with the backends of s, or nil if it is
// not.
func backendTLS(s config.Service) (*tls.Config, error) {
	if s.TLS == "" && !s.Speaks().Secure() {
		return nil, nil
	}
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: s.TLSServerName, InsecureSkipVerify: s.TLS == "skip-verify",
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	if s.TLSCA != "" {
		pem, err := os.ReadFile(s.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("tls-ca of service %q: %w", s.Name, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls-ca of service %q: there is no certificate in %q", s.Name, s.TLSCA)
		}
	}
	return c, nil
}

// checkFiles returns what is wrong with the files that c names.
func checkFiles(c *config.Config) (problems []error) {
	k := &keeper{logger: slog.New(slog.DiscardHandler)}
	look := func(setting string, c config.Certificate) {
		x, err := k.open([]config.Certificate{c})
		if err != nil {
			problems = append(problems, config.Problem{Setting: setting, Reason: err.Error()})
		}
		k.drop(x)
	}
	for _, l := range c.L4 {
		look("l4", l.Certificate)
	}
	for _, l := range c.L7 {
		look("l7", l.Certificate)
	}
	if err := checkAuths(c); err != nil {
		problems = append(problems, err)
	}
	for _, s := range c.Services {
		if _, err := backendTLS(s); err != nil {
			problems = append(problems, config.Problem{Setting: "service", Reason: err.Error()})
		}
	}
	return problems
}
