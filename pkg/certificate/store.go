package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// followEvery is how often the files are looked at. They are small, and a
// change shows in their content, however it came about: by a write, a rename,
// or a link that leads elsewhere, as Kubernetes does it.
const followEvery = 5 * time.Second

// Source is where certificates come from.
type Source struct {
	// Cert is a file with a certificate and its chain, as PEM; or a directory,
	// of which each NAME.crt goes with NAME.key, and each NAME.pem holds both.
	Cert string
	// Key is a file with the private key; empty if it is in Cert.
	Key string
}

// Store holds certificates. All methods are safe for concurrent use.
type Store struct {
	sources []Source
	logger  *slog.Logger
	current atomic.Pointer[set]
}

// set is the certificates of one moment.
type set struct {
	digest [sha256.Size]byte // of all files
	all    []*tls.Certificate
}

// Open reads the certificates of all sources. Follow keeps them up to date.
func Open(logger *slog.Logger, sources ...Source) (*Store, error) {
	s := &Store{sources: sources, logger: logger}
	now, err := s.read()
	if err != nil {
		return nil, err
	}
	s.current.Store(now)
	return s, nil
}

// Follow looks at the files every few seconds until ctx ends.
func (s *Store) Follow(ctx context.Context) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	var last string // what was said last about files that cannot be used
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch changed, err := s.reload(); {
		case err != nil && err.Error() != last:
			last = err.Error()
			s.logger.Error("cannot use the certificates that are there now; keeping the last good ones", "err", err)
		case err == nil && (changed || last != ""):
			last = ""
			s.logger.Info("certificates loaded", "names", s.names())
		}
	}
}

// reload reads the files again and reports whether they changed.
func (s *Store) reload() (changed bool, err error) {
	now, err := s.read()
	if err != nil {
		return false, err
	}
	if now.digest == s.current.Load().digest {
		return false, nil
	}
	s.current.Store(now)
	return true, nil
}

// read reads all sources.
func (s *Store) read() (*set, error) {
	now := &set{}
	digest := sha256.New()
	for _, source := range s.sources {
		pairs, err := source.pairs()
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			cert, err := os.ReadFile(p.Cert)
			if err != nil {
				return nil, fmt.Errorf("cannot read a certificate: %w", err)
			}
			key := cert
			if p.Key != "" {
				if key, err = os.ReadFile(p.Key); err != nil {
					return nil, fmt.Errorf("cannot read a private key: %w", err)
				}
			}
			c, err := tls.X509KeyPair(cert, key)
			if err != nil {
				return nil, fmt.Errorf("cannot use the certificate %q: %w", p.Cert, err)
			}
			fmt.Fprintf(digest, "%q%d%d", p.Cert, len(cert), len(key))
			digest.Write(cert)
			digest.Write(key)
			now.all = append(now.all, &c)
		}
	}
	digest.Sum(now.digest[:0])
	return now, nil
}

// pairs returns the files of a source, in a constant order.
func (s Source) pairs() ([]Source, error) {
	info, err := os.Stat(s.Cert)
	if err != nil {
		return nil, fmt.Errorf("cannot read a certificate: %w", err)
	}
	if !info.IsDir() {
		return []Source{s}, nil
	}
	if s.Key != "" {
		return nil, fmt.Errorf("%q is a directory, whose keys are in it: a key of its own makes no sense", s.Cert)
	}
	entries, err := os.ReadDir(s.Cert)
	if err != nil {
		return nil, fmt.Errorf("cannot read certificates: %w", err)
	}
	var pairs []Source
	for _, e := range entries {
		path := filepath.Join(s.Cert, e.Name())
		switch filepath.Ext(path) {
		case ".pem":
			pairs = append(pairs, Source{Cert: path})
		case ".crt":
			pairs = append(pairs, Source{Cert: path, Key: strings.TrimSuffix(path, ".crt") + ".key"})
		}
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("there is no NAME.pem and no NAME.crt in %q", s.Cert)
	}
	return pairs, nil
}

// names returns what the certificates are for.
func (s *Store) names() (names []string) {
	for _, c := range s.current.Load().all {
		names = append(names, c.Leaf.DNSNames...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var errNoCertificate = errors.New("certificate: none is loaded")

// Get returns the certificate for a client: the first that suits the name and
// the algorithms it asks for, and the first of all if none does. It is
// tls.Config.GetCertificate.
func (s *Store) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := s.current.Load().all
	if len(all) == 0 {
		return nil, errNoCertificate
	}
	if len(all) > 1 {
		for _, c := range all {
			if hello.SupportsCertificate(c) == nil {
				return c, nil
			}
		}
	}
	return all[0], nil
}

// Server returns a configuration for a server that shows these certificates,
// from TLS 1.2 on. The caller may change it before its first use.
func (s *Store) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.Get}
}
