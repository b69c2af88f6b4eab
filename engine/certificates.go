package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
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

// keeper opens certificates and has them followed, for as long as a listener
// shows them. All methods are safe for concurrent use.
type keeper struct {
	logger *slog.Logger

	// mu protects the field below.
	mu  sync.Mutex
	all map[*shown]bool
}

// shown is what one listener shows its TLS clients, and asks of them.
type shown struct {
	tls    *tls.Config
	store  *certificate.Store
	cancel context.CancelFunc // ends what follows the files
}

// open returns what a listener shows its TLS clients, or nil if it speaks no
// TLS: the certificates of all its parts, of which one may be named by several.
// It is kept up to date until drop is called.
func (k *keeper) open(parts []config.Certificate) (*shown, error) {
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
	x := &shown{tls: store.Server(), store: store}
	clients, err := k.demand(x.tls, parts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	go store.Follow(ctx)
	if clients != nil {
		go clients.Follow(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = make(map[*shown]bool)
	}
	k.all[x] = true
	return x, nil
}

// demand makes cfg ask for the certificates of clients, if a part of the listener
// says so, and then for all of them.
func (k *keeper) demand(cfg *tls.Config, parts []config.Certificate) (*certificate.Authorities, error) {
	for _, c := range parts {
		if c.ClientCA == "" {
			continue
		}
		a, err := certificate.OpenAuthorities(k.logger, c.ClientCA)
		if err != nil {
			return nil, err
		}
		a.Demand(cfg, c.ClientCert == "optional")
		return a, nil
	}
	return nil, nil
}

// drop says that nobody shows x any more, which may be nil.
func (k *keeper) drop(x *shown) {
	if x == nil {
		return
	}
	x.cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, x)
}

// reload reads the files again at once.
func (k *keeper) reload() {
	for _, s := range k.stores() {
		s.Reload()
	}
}

// stores returns the certificates that are shown.
func (k *keeper) stores() (all []*certificate.Store) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for x := range k.all {
		all = append(all, x.store)
	}
	return all
}

// expiries returns until when each certificate is good that some listener
// shows, by its file.
func (k *keeper) expiries() map[string]certificate.Expiry {
	all := make(map[string]certificate.Expiry)
	for _, s := range k.stores() {
		for _, e := range s.Expiries() {
			all[e.File] = e
		}
	}
	return all
}

// broken returns what is wrong with each file that cannot be used.
func (k *keeper) broken() map[string]error {
	all := make(map[string]error)
	for _, s := range k.stores() {
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
	if len(k.stores()) == 0 {
		return
	}
	expiries := k.expiries()
	for _, file := range slices.Sorted(maps.Keys(expiries)) {
		fmt.Fprintf(w, "sluice_certificate_expiry_timestamp_seconds{file=%q} %d\n", file, expiries[file].End.Unix())
	}
	var changed, failed uint64
	for _, s := range k.stores() {
		c, f := s.Loads()
		changed, failed = changed+c, failed+f
	}
	fmt.Fprintf(w, "sluice_certificate_loads_total{result=\"changed\"} %d\n", changed)
	fmt.Fprintf(w, "sluice_certificate_loads_total{result=\"error\"} %d\n", failed)
	fmt.Fprintf(w, "sluice_certificate_unusable_files %d\n", len(k.broken()))
}
