package certificate

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// followEvery is how often the files are looked at. They are small, and a
// change shows in their content, however it came about: by a write, a rename,
// or a link that leads elsewhere, as Kubernetes does it.
const followEvery = 5 * time.Second

// Store holds certificates. All methods are safe for concurrent use.
type Store struct {
	sources []Source
	logger  *slog.Logger
	current atomic.Pointer[set]
	changed atomic.Uint64
	failed  atomic.Uint64

	mu   sync.Mutex        // held by Reload
	told map[string]string // what was said last of files that cannot be used; below mu
}

// Open reads the certificates of all sources. Each source must have one. Follow
// keeps them up to date.
func Open(logger *slog.Logger, sources ...Source) (*Store, error) {
	s := &Store{sources: sources, logger: logger, told: make(map[string]string)}
	now := read(sources, &set{})
	var problems []error
	for i := range sources {
		if slices.ContainsFunc(now.all, func(x loaded) bool { return x.source == i }) {
			continue
		}
		_, troubles := sources[i].read()
		for _, t := range append(troubles, Trouble{sources[i].Cert, errNoPair})[:max(1, len(troubles))] {
			problems = append(problems, t)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	s.current.Store(now)
	s.tell(now)
	return s, nil
}

// Follow looks at the files every few seconds until ctx ends.
func (s *Store) Follow(ctx context.Context) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.Reload()
		}
	}
}

// Reload reads the files again and reports whether certificates changed.
func (s *Store) Reload() (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	now := read(s.sources, old)
	s.current.Store(now)
	if changed = now.digest != old.digest; changed {
		s.changed.Add(1)
		s.logger.Info("certificates loaded", "names", s.names())
	}
	s.tell(now)
	return changed
}

// tell logs what has become of files that cannot be used, and counts those that
// are so for a new reason.
func (s *Store) tell(now *set) {
	broken := make(map[string]string)
	for _, t := range now.troubles {
		broken[t.File] = t.Err.Error()
		if s.told[t.File] != t.Err.Error() {
			s.failed.Add(1)
			s.logger.Error("cannot use a file of certificates; the last good one of it stays, if there was one", "file", t.File, "err", t.Err)
		}
	}
	for file := range s.told {
		if broken[file] == "" {
			s.logger.Info("a file of certificates is no longer in trouble", "file", file)
		}
	}
	s.told = broken
}

// names returns what the certificates are for.
func (s *Store) names() (names []string) {
	for _, x := range s.current.Load().all {
		names = append(names, x.cert.Leaf.DNSNames...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Expiry is until when a certificate is good.
type Expiry struct {
	File       string
	Begin, End time.Time
}

// Expiries returns that of each certificate in use.
func (s *Store) Expiries() (all []Expiry) {
	for _, x := range s.current.Load().all {
		all = append(all, Expiry{x.path, x.cert.Leaf.NotBefore, x.cert.Leaf.NotAfter})
	}
	return all
}

// Troubles returns the files that cannot be used as they are now.
func (s *Store) Troubles() []Trouble { return s.current.Load().troubles }

// Loads returns how many times certificates have changed since Open, and how
// many times a file could not be used, each once for a reason.
func (s *Store) Loads() (changed, failed uint64) { return s.changed.Load(), s.failed.Load() }

var errNoCertificate = errors.New("certificate: none is loaded")

// Get returns the certificate for a client: the first that suits the name and
// the algorithms it asks for, one that is valid now before others, and the first
// of all if none does. It is tls.Config.GetCertificate.
func (s *Store) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := s.current.Load().all
	switch len(all) {
	case 0:
		return nil, errNoCertificate
	case 1:
		return all[0].cert, nil
	}
	var expired *tls.Certificate
	now := time.Now()
	for _, x := range all {
		switch leaf := x.cert.Leaf; {
		case hello.SupportsCertificate(x.cert) != nil:
		case !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter):
			return x.cert, nil
		case expired == nil:
			expired = x.cert
		}
	}
	if expired != nil {
		return expired, nil
	}
	return all[0].cert, nil
}

// Server returns a configuration for a server that shows these certificates,
// from TLS 1.2 on. The caller may change it before its first use.
func (s *Store) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.Get}
}
