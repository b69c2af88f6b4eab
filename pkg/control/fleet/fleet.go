package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"sluice/pkg/control"
)

const (
	// wait is how long Consul may hold a query while nothing changes; a dead
	// connection goes unnoticed for as long, and grace.
	wait  = 8 * time.Second
	grace = 1500 * time.Millisecond

	// callTimeout bounds a call that does not wait.
	callTimeout = 2 * time.Second

	minBackOff = 250 * time.Millisecond
	maxBackOff = 5 * time.Second

	// maxConns is how many connections to an agent there may be: one that
	// waits, and some for calls.
	maxConns = 4
)

// Config describes a fleet, and this sluice in it.
type Config struct {
	// Name is that of the fleet: letters, digits, dot, dash and underscore.
	Name string
	// Address is Consul's HTTP address, or several separated by commas, which
	// stand in for each other. Empty means what the environment says. Tokens
	// and certificates are those of the environment.
	Address string
	// Logger must not be nil.
	Logger *slog.Logger
}

// Fleet is a control.Store in Consul, and the list of sluices in it. All
// methods are safe for concurrent use.
type Fleet struct {
	cfg       Config
	addresses []string
	transport *http.Transport

	mu     sync.Mutex
	client *api.Client // nil after an error
	turn   int         // which address client asks
	kept   control.Overlay
	index  uint64 // of kept; 0 if there is no key
	tasks  []control.Task
	seen   map[string]sight
}

// New returns a fleet. It does not connect: Load and Follow do.
func New(cfg Config) (*Fleet, error) {
	if err := checkName(cfg.Name); err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, seen: make(map[string]sight)}
	for _, a := range strings.Split(cfg.Address, ",") {
		f.addresses = append(f.addresses, strings.TrimSpace(a))
	}
	if _, err := f.connect(); err != nil {
		return nil, err
	}
	return f, nil
}

func checkName(s string) error {
	if s == "" || len(s) > 100 || strings.Trim(s, ".") == "" || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) {
		return fmt.Errorf("%q is not a fleet's name: letters, digits, dot, dash and underscore", s)
	}
	return nil
}

// Name says where changes are kept.
func (f *Fleet) Name() string { return "fleet " + f.cfg.Name }

func (f *Fleet) key(parts ...string) string {
	return "sluice/" + f.cfg.Name + "/" + strings.Join(parts, "/")
}

// connect returns the client in use, or a new one of the next address, with
// the token that its file has by then.
func (f *Fleet) connect() (*api.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.client != nil {
		return f.client, nil
	}
	cfg := api.DefaultConfig() // of the environment
	if a := f.addresses[f.turn%len(f.addresses)]; a != "" {
		cfg.Address = a
	}
	cfg.Transport.MaxConnsPerHost = maxConns
	c, err := api.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot use Consul at %q: %w", cfg.Address, err)
	}
	if f.transport != nil {
		f.transport.CloseIdleConnections()
	}
	f.client, f.transport = c, cfg.Transport
	return c, nil
}

// failed has the next call ask another agent, with a client made anew.
func (f *Fleet) failed(c *api.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.client == c {
		f.client = nil
		f.turn++
	}
}

// lost makes an error of a call one of contact.
func lost(err error) error { return fmt.Errorf("%w: Consul: %w", control.ErrNoContact, err) }

// get reads the overlay's key. index 0 does not wait.
func (f *Fleet) get(ctx context.Context, index uint64, consistent bool) (o control.Overlay, modified, next uint64, err error) {
	c, err := f.connect()
	if err != nil {
		return o, 0, 0, lost(err)
	}
	timeout := callTimeout
	if index != 0 {
		timeout = wait + wait/16 + grace
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	q := (&api.QueryOptions{WaitIndex: index, WaitTime: wait, RequireConsistent: consistent}).WithContext(ctx)
	pair, meta, err := c.KV().Get(f.key("changes"), q)
	if err != nil {
		f.failed(c)
		return o, 0, 0, lost(err)
	}
	if pair == nil {
		return o, 0, meta.LastIndex, nil
	}
	if o, err = control.Decode(pair.Value); err != nil {
		return o, pair.ModifyIndex, meta.LastIndex, fmt.Errorf("key %s: %w", f.key("changes"), err)
	}
	return o, pair.ModifyIndex, meta.LastIndex, nil
}

// note remembers what the key has.
func (f *Fleet) note(o control.Overlay, modified uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept, f.index = o, modified
}

// Load asks Consul's leader what is kept.
func (f *Fleet) Load(ctx context.Context) (control.Overlay, error) {
	o, modified, _, err := f.get(ctx, 0, true)
	if err != nil {
		return control.Overlay{}, err
	}
	f.note(o, modified)
	return o, nil
}

// Swap writes next if the key still has old.
func (f *Fleet) Swap(ctx context.Context, old, next control.Overlay) error {
	f.mu.Lock()
	kept, index := f.kept, f.index
	f.mu.Unlock()
	if kept.Version != old.Version || kept.Lineage != old.Lineage {
		return control.ErrStale
	}
	b, err := control.Encode(next)
	if err != nil {
		return err
	}
	c, err := f.connect()
	if err != nil {
		return lost(err)
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ok, _, err := c.KV().CAS(&api.KVPair{Key: f.key("changes"), Value: b, ModifyIndex: index}, (&api.WriteOptions{}).WithContext(call))
	if err != nil {
		f.failed(c)
		return f.settle(ctx, old, next, err)
	}
	if !ok {
		// Somebody else has written, or the key is gone.
		if _, err := f.Load(ctx); err != nil {
			return err
		}
		return control.ErrStale
	}
	// The answer does not say which index it has now.
	o, modified, _, err := f.get(ctx, 0, true)
	if err != nil {
		f.note(next, 0) // Follow will tell; until then a swap fails and loads
		return nil
	}
	f.note(o, modified)
	if !o.Equal(next) {
		f.note(next, 0) // somebody else was quick; the same
	}
	return nil
}

// settle finds out whether a write was done of which the answer is lost.
func (f *Fleet) settle(ctx context.Context, old, next control.Overlay, cause error) error {
	o, err := f.Load(ctx)
	switch {
	case err != nil:
		return lost(cause)
	case o.Equal(next):
		return nil
	case o.Version == old.Version && o.Lineage == old.Lineage:
		return lost(cause)
	}
	return control.ErrStale
}

// Follow tells of what is in the key, each time that Consul answers, and when
// contact is lost.
func (f *Fleet) Follow(ctx context.Context, tell func(control.Overlay, error)) {
	var index uint64
	backOff := minBackOff
	for ctx.Err() == nil {
		o, modified, next, err := f.get(ctx, index, false)
		if err == nil && modified == 0 {
			// A key that never was wakes its watchers at every write anywhere.
			err = f.begin(ctx, tell)
			index = 0
			if err == nil {
				continue
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil && f.older(o) {
			o, err = f.Load(ctx)
			modified = 0
		}
		if err != nil {
			tell(control.Overlay{}, err)
			index = 0 // whoever answers next may count from elsewhere
			select {
			case <-ctx.Done():
			case <-time.After(backOff/2 + rand.N(backOff/2)):
			}
			backOff = min(2*backOff, maxBackOff)
			continue
		}
		backOff = minBackOff
		if modified != 0 {
			f.note(o, modified)
		}
		tell(o, nil)
		if index = next; next < index {
			index = 0
		}
	}
}

// older reports whether o is from before what was seen last.
func (f *Fleet) older(o control.Overlay) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return o.Lineage == f.kept.Lineage && o.Version < f.kept.Version
}

// begin tells that the key is not there, and creates it, unless who was told
// has.
func (f *Fleet) begin(ctx context.Context, tell func(control.Overlay, error)) error {
	o, err := f.Load(ctx)
	if err != nil {
		return err
	}
	tell(o, nil)
	f.mu.Lock()
	missing := f.index == 0 && f.kept.Version == 0
	f.mu.Unlock()
	if !missing {
		return nil
	}
	b, err := control.Encode(control.Overlay{})
	if err != nil {
		return err
	}
	c, err := f.connect()
	if err != nil {
		return lost(err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, _, err = c.KV().CAS(&api.KVPair{Key: f.key("changes"), Value: b}, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
		f.failed(c)
		return lost(err)
	}
	return nil // whether it was us or another makes no difference
}

// gone reports whether err says that what was asked for does not exist.
func gone(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusInternalServerError && strings.Contains(status.Body, "nvalid session"))
}
