package health

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// errSilent is what AutoCheck says of a backend that has spoken HTTP before and
// now takes a connection and says nothing. It is no proof: a server that serves
// one connection at a time may be waiting on an idle one of ours.
var errSilent = errors.New("it takes connections and answers nothing")

const (
	// learnTime is how long a backend of which nothing is known may take to
	// answer.
	learnTime = 500 * time.Millisecond
	// learnTries is how many checks in a row try to learn, and learnEvery after
	// how many one more does.
	learnTries, learnEvery = 3, 30
)

// answersClients is the key of a context's value that says that the backend has
// answered clients a moment ago. To ask it as well would tell nothing, and a
// server that serves one connection at a time may be waiting on an idle one.
type answersClients struct{}

// AutoCheck is the check of an HTTP service for which none is asked for. A
// backend that answers OPTIONS / sensibly, by any status below 500, is asked
// again each time, and any answer then passes: what / is to answer nobody has
// said, but a process that is stopped, or stuck, answers nothing. Of others a
// connection is enough.
type AutoCheck struct {
	learner *HTTPCheck // passes if the answer is sensible
	asker   *HTTPCheck // passes if there is one
	tcp     Check

	mu    sync.Mutex
	known map[string]*manner // by address
}

// manner is what is known of a backend.
type manner struct {
	speaks bool
	tries  int // to learn whether it does
}

// NewAutoCheck returns an AutoCheck.
func NewAutoCheck(via Via) *AutoCheck {
	spec := httpSpec{path: "/", method: http.MethodOptions, header: make(http.Header), status: statuses{{100, 499}, {501, 501}}}
	learner := newHTTPCheck(spec, via)
	spec.status = statuses{{100, 999}}
	tcp := Check(TCPCheck{})
	if via != (Via{}) {
		tcp = &TalkCheck{via: via}
	}
	return &AutoCheck{learner: learner, asker: newHTTPCheck(spec, via), tcp: tcp, known: make(map[string]*manner)}
}

// Probe asks once, or connects.
func (a *AutoCheck) Probe(ctx context.Context, addr string) (Result, error) {
	if ctx.Value(answersClients{}) != nil {
		return a.tcp.Probe(ctx, addr)
	}
	speaks, learn := a.mannerOf(addr)
	switch {
	case speaks:
		switch _, err := a.asker.Probe(ctx, addr); {
		case err == nil:
			return Result{Tested: Connect}, nil // that it answers says nothing of what
		case unreachable(err):
			return Result{}, err
		case ctx.Err() != nil:
			return Result{}, fmt.Errorf("%w: %w", errSilent, err)
		} // else it ended the connection, and is there
	case learn:
		short, cancel := context.WithTimeout(ctx, learnTime)
		_, err := a.learner.Probe(short, addr)
		cancel()
		switch {
		case err == nil:
			a.learned(addr)
			return Result{Tested: Connect}, nil
		case unreachable(err), ctx.Err() != nil:
			return Result{}, err
		}
	}
	return a.tcp.Probe(ctx, addr)
}

// mannerOf says whether a backend speaks HTTP, and if that is not known,
// whether to find out.
func (a *AutoCheck) mannerOf(addr string) (speaks, learn bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.known[addr]
	if m == nil {
		if len(a.known) >= 1<<16 { // members that are gone
			clear(a.known)
		}
		m = &manner{}
		a.known[addr] = m
	}
	if m.speaks {
		return true, false
	}
	m.tries++
	return false, m.tries <= learnTries || m.tries%learnEvery == 0
}

func (a *AutoCheck) learned(addr string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.known[addr]; m != nil {
		m.speaks = true
	}
}

func (a *AutoCheck) String() string { return "http or tcp check" }
