package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"sluice/pkg/certificate"
	"sluice/pkg/config"
)

// expiresSoon is how much of a certificate's life is left when it should have
// been renewed, as a divisor, and soonAtMost its bound.
const (
	expiresSoon = 10
	soonAtMost  = 14 * 24 * time.Hour
)

// keeper opens certificates and has them followed. It opens at the start alone;
// what else it does is safe for concurrent use afterwards.
type keeper struct {
	logger  *slog.Logger
	stores  []*certificate.Store
	clients []*certificate.Authorities
}

// server returns what a listener shows its TLS clients, or nil if it speaks no
// TLS: the certificates of all its parts, of which one may be named by several.
func (k *keeper) server(parts []config.Certificate) (*tls.Config, error) {
	var sources []certificate.Source
	seen := make(map[certificate.Source]bool)
	for _, c := range parts {
		if s := (certificate.Source{Cert: c.Cert, Key: c.Key}); c.Cert != "" && !seen[s] {
			seen[s] = true
			sources = append(sources, s)
		}
	}
	if len(sources) == 0 {
		return nil, nil
	}
	store, err := certificate.Open(k.logger, sources...)
	if err != nil {
		return nil, err
	}
	k.stores = append(k.stores, store)
	cfg := store.Server()
	return cfg, k.demand(cfg, parts)
}

// follow keeps the certificates up to date until ctx ends.
func (k *keeper) follow(ctx context.Context) {
	for _, s := range k.stores {
		go s.Follow(ctx)
	}
	for _, a := range k.clients {
		go a.Follow(ctx)
	}
}

// expiries returns until when each certificate is good that some listener
// shows, by its file.
func (k *keeper) expiries() map[string]certificate.Expiry {
	all := make(map[string]certificate.Expiry)
	for _, s := range k.stores {
		for _, e := range s.Expiries() {
			all[e.File] = e
		}
	}
	return all
}

// broken returns what is wrong with each file that cannot be used.
func (k *keeper) broken() map[string]error {
	all := make(map[string]error)
	for _, s := range k.stores {
		for _, t := range s.Troubles() {
			all[t.File] = t.Err
		}
	}
	return all
}

// troubles returns what is wrong with the certificates, in words.
func (k *keeper) troubles(now time.Time) (all []string) {
	broken := k.broken()
	for _, file := range slices.Sorted(maps.Keys(broken)) {
		all = append(all, fmt.Sprintf("certificates: cannot use %q: %v", file, broken[file]))
	}
	expiries := k.expiries()
	for _, file := range slices.Sorted(maps.Keys(expiries)) {
		e := expiries[file]
		soon := min(e.End.Sub(e.Begin)/expiresSoon, soonAtMost)
		switch left := e.End.Sub(now); {
		case left <= 0:
			all = append(all, fmt.Sprintf("certificates: %q expired at %s", file, e.End.UTC().Format(time.RFC3339)))
		case left < soon:
			all = append(all, fmt.Sprintf("certificates: %q was not renewed and expires at %s", file, e.End.UTC().Format(time.RFC3339)))
		}
	}
	return all
}

// write writes the metrics of the certificates.
func (k *keeper) write(w io.Writer) {
	if len(k.stores) == 0 {
		return
	}
	expiries := k.expiries()
	for _, file := range slices.Sorted(maps.Keys(expiries)) {
		fmt.Fprintf(w, "sluice_certificate_expiry_timestamp_seconds{file=%q} %d\n", file, expiries[file].End.Unix())
	}
	var changed, failed uint64
	for _, s := range k.stores {
		c, f := s.Loads()
		changed, failed = changed+c, failed+f
	}
	fmt.Fprintf(w, "sluice_certificate_loads_total{result=\"changed\"} %d\n", changed)
	fmt.Fprintf(w, "sluice_certificate_loads_total{result=\"error\"} %d\n", failed)
	fmt.Fprintf(w, "sluice_certificate_unusable_files %d\n", len(k.broken()))
}
