package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Authorities are who vouch for clients: the certificates of a file, as PEM. All
// methods are safe for concurrent use.
type Authorities struct {
	path    string
	logger  *slog.Logger
	current atomic.Pointer[authorities]
}

type authorities struct {
	content string
	pool    *x509.CertPool
}

// OpenAuthorities reads the file. Follow keeps it up to date.
func OpenAuthorities(logger *slog.Logger, path string) (*Authorities, error) {
	a := &Authorities{path: path, logger: logger}
	now, err := a.read()
	if err != nil {
		return nil, err
	}
	a.current.Store(now)
	return a, nil
}

func (a *Authorities) read() (*authorities, error) {
	b, err := os.ReadFile(a.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the authorities of clients: %w", err)
	}
	now := &authorities{content: string(b), pool: x509.NewCertPool()}
	if !now.pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("there is no certificate in %q", a.path)
	}
	return now, nil
}

// Follow looks at the file every few seconds until ctx ends. A file that is
// missing or broken changes nothing, and is told once.
func (a *Authorities) Follow(ctx context.Context) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	var told string
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch changed, err := a.reload(); {
		case err != nil && err.Error() != told:
			told = err.Error()
			a.logger.Error("cannot use the authorities of clients as they are now; keeping the last good ones", "err", err)
		case err == nil && (changed || told != ""):
			told = ""
			a.logger.Info("authorities of clients loaded", "file", a.path)
		}
	}
}

// reload reads the file again and reports whether it changed.
func (a *Authorities) reload() (changed bool, err error) {
	now, err := a.read()
	if err != nil || now.content == a.current.Load().content {
		return false, err
	}
	a.current.Store(now)
	return true, nil
}

var errNoClientCertificate = errors.New("certificate: the client has none")

// Demand makes cfg ask clients for a certificate of these authorities. One that
// is shown must be good, in a session that is resumed too; without one, clients
// are served only if optional is true.
func (a *Authorities) Demand(cfg *tls.Config, optional bool) {
	cfg.ClientAuth = tls.RequireAnyClientCert // and verified below, by whom there are then
	if optional {
		cfg.ClientAuth = tls.RequestClientCert
	}
	cfg.ClientCAs = a.current.Load().pool // whom clients are told of
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			if optional {
				return nil
			}
			return errNoClientCertificate
		}
		return a.verify(s.PeerCertificates)
	}
}

// verify checks a client's certificate, which is the first of the chain.
func (a *Authorities) verify(chain []*x509.Certificate) error {
	opts := x509.VerifyOptions{
		Roots: a.current.Load().pool, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(opts)
	return err
}
