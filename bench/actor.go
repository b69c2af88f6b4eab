package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// healthPath is where actors answer checks.
const healthPath = "/health"

// conduct is how an actor treats one request.
type conduct struct {
	takes  time.Duration
	status int  // 0 means 200
	cut    bool // the connection is closed without an answer
}

// actor is a backend of an experiment, a real HTTP server in the bench itself
// whose conduct changes as the experiment wants. Its answers say who they are of.
type actor struct {
	name  string
	of    string // service; empty: web
	addr  string
	slots chan struct{} // taken for the time of a request; nil: as many at once as come
	// begun is when the experiment began; what the functions are given is the
	// time since.
	begun   atomic.Pointer[time.Time]
	conduct func(at time.Duration) conduct
	healthy func(at time.Duration) bool // nil: always

	mu     sync.Mutex // protects the fields below
	server *http.Server
	seen   []time.Duration // when requests came, checks apart

}

// nameHeader says which actor an answer is of.
const nameHeader = "X-Actor"

// start makes the actor listen, at the address it had before if it had one.
func (a *actor) start() error {
	addr := a.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot start backend %s: %w", a.name, err)
	}
	a.addr = ln.Addr().String()
	s := &http.Server{Handler: a}
	a.mu.Lock()
	a.server = s
	a.mu.Unlock()
	go func() { _ = s.Serve(ln) }()
	return nil
}

// stop closes the listener and all connections.
func (a *actor) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		_ = a.server.Close()
	}
}

// ServeHTTP answers a check at once, and a request by the actor's conduct.
func (a *actor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Since(*a.begun.Load())
	if r.URL.Path == healthPath {
		if a.healthy != nil && !a.healthy(at) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return
	}
	a.mu.Lock()
	a.seen = append(a.seen, at)
	a.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body)
	c := a.conduct(at)
	if c.cut {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close()
		}
		return
	}
	if a.slots != nil {
		select {
		case a.slots <- struct{}{}:
			defer func() { <-a.slots }()
		case <-r.Context().Done():
			return
		}
	}
	wait(r.Context(), c.takes)
	w.Header().Set(nameHeader, a.name)
	if c.status != 0 {
		w.WriteHeader(c.status)
	}
	_, _ = io.WriteString(w, a.name+"\n")
}

// requests returns when the requests so far came.
func (a *actor) requests() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]time.Duration(nil), a.seen...)
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// dice decide by chance what an actor does. The same seed means the same
// decisions in the same order.
type dice struct {
	mu sync.Mutex // protects r
	r  *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, 23))} }

// roll returns true with a probability of p.
func (d *dice) roll(p float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < p
}
