package echo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Mode says which protocol a server speaks.
type Mode string

// The empty mode is Auto.
const (
	Auto Mode = "auto" // the first bytes of each connection decide
	TCP  Mode = "tcp"  // echo whatever comes
	HTTP Mode = "http" // HTTP/1.1 only
)

// Config describes a server. Its zero value is a server that works.
type Config struct {
	// Name is what the server calls itself in its answers. Empty means its
	// bound address.
	Name string
	// Latency delays each HTTP answer and the first byte that is echoed on a
	// TCP connection. 0 means none.
	Latency time.Duration
	// Fail is the share, 0 to 1, of HTTP requests answered with 503 and of
	// TCP connections reset at their first byte. /healthz fails only if it is 1.
	Fail float64
	// Mode is the protocol. Empty means Auto.
	Mode Mode
}

// validate returns all that is wrong with c, or nil.
func (c Config) validate() error {
	var errs []error
	if c.Latency < 0 {
		errs = append(errs, fmt.Errorf("cannot use latency %q: it is negative", c.Latency))
	}
	if !(c.Fail >= 0 && c.Fail <= 1) { // written so that NaN is refused
		errs = append(errs, fmt.Errorf("cannot use fail %v: it is a share from 0 to 1", c.Fail))
	}
	switch c.Mode {
	case "", Auto, TCP, HTTP:
	default:
		errs = append(errs, fmt.Errorf("cannot use mode %q: it is auto, tcp or http", c.Mode))
	}
	return errors.Join(errs...)
}

// Server is a bound backend. All methods are safe for concurrent use.
type Server struct {
	cfg     Config
	ln      *net.TCPListener
	http    *http.Server
	sniffed *handoff // feeds http in mode Auto
	pattern []byte   // what /bytes repeats
	fail    atomic.Uint64

	// closing ends when Close is called; whatever waits in the server ends
	// with it.
	closing context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup // Serve and every connection

	// mu protects the fields below.
	mu     sync.Mutex
	closed bool
	conns  map[*net.TCPConn]struct{} // those that net/http does not track
}

// Listen binds addr, host:port, where port 0 lets the kernel choose. It starts
// nothing; connections wait until Serve. The caller calls Close.
func Listen(addr string, cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", addr, err)
	}
	if cfg.Name == "" {
		cfg.Name = ln.Addr().String()
	}
	s := &Server{
		cfg:     cfg,
		ln:      ln.(*net.TCPListener),
		sniffed: newHandoff(ln.Addr()),
		pattern: newPattern(),
		conns:   make(map[*net.TCPConn]struct{}),
	}
	s.SetFail(cfg.Fail)
	s.closing, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:     http.HandlerFunc(s.handleHTTP),
		BaseContext: func(net.Listener) context.Context { return s.closing },
		ConnState:   s.trackHTTP,
	}
	return s, nil
}

// Addr returns the bound address.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// SetFail changes the share of failures, see Config.Fail, from the next
// request or TCP connection on. Shares outside 0 to 1 mean the nearer end.
func (s *Server) SetFail(share float64) {
	s.fail.Store(math.Float64bits(min(max(share, 0), 1)))
}

// failing draws whether this request or connection is one of those to fail.
func (s *Server) failing() bool {
	share := math.Float64frombits(s.fail.Load())
	return share > 0 && rand.Float64() < share
}

// down reports whether everything fails.
func (s *Server) down() bool { return math.Float64frombits(s.fail.Load()) >= 1 }

// Serve accepts connections and answers them until Close, and then returns
// nil. It is called once.
func (s *Server) Serve() error {
	if !s.begin() {
		return nil
	}
	defer s.wg.Done()
	if s.cfg.Mode == HTTP {
		return s.serveHTTP(s.ln)
	}
	if s.cfg.Mode != TCP {
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			_ = s.serveHTTP(s.sniffed) // ends only with the handoff
		}()
	}
	return s.accept()
}

// begin counts a goroutine in unless the server is closed.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Add(1)
	return true
}

func (s *Server) serveHTTP(ln net.Listener) error {
	err := s.http.Serve(ln)
	// A connection that was being handed over while Close ran is known to
	// net/http only now.
	s.http.Close()
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// trackHTTP counts net/http's connections, so that Close can wait for them.
// Serve holds a count while it may add others.
func (s *Server) trackHTTP(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.wg.Add(1)
	case http.StateClosed:
		s.wg.Done()
	}
}

// accept starts a goroutine for each connection until the listener closes.
func (s *Server) accept() error {
	var backoff time.Duration
	for {
		c, err := s.ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // EMFILE and the like pass
			backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
			sleep(s.closing, backoff)
			continue
		}
		backoff = 0
		if !s.adopt(c) {
			c.Close()
			continue
		}
		go s.handleConn(c)
	}
}

// adopt counts c in unless the server is closed.
func (s *Server) adopt(c *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) forget(c *net.TCPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Close closes the listener and all connections and returns when nothing of
// the server runs any more. It is idempotent.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.cancel()
	s.http.Close()
	s.sniffed.Close()
	s.ln.Close()
	s.wg.Wait()
}

// sleep waits for d and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
