package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/limit"
	"sluice/pkg/proxyproto"
	"sluice/pkg/throttle"
)

const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second

	// drainQuiet is how long nothing must arrive before a draining listener
	// closes: long enough for a handshake that has begun to end.
	drainQuiet = 200 * time.Millisecond
	// drainMax bounds a drain where connections cannot be held off.
	drainMax = 2 * time.Second
)

// Config describes a listener.
type Config struct {
	// Kind is l4 or l7, for logs and metrics.
	Kind string
	// Name is what the listener is for: a service, or an address.
	Name string
	// Address is host:port; port 0 lets the kernel choose.
	Address string
	// Inherited, if not nil, is a socket that listens there already, as Socket
	// returns it. The listener owns it.
	Inherited *net.TCPListener
	// Kept reports that another process has the socket, too, and goes on with it
	// when the listener closes.
	Kept bool
	// MaxConns is how many connections may be open at once. Those beyond are
	// closed as they come. 0 means no limit.
	MaxConns int
	// Budget is what all listeners' connections may take of the descriptors
	// together, and ConnCost how many of them one of this listener takes: its
	// own and its backend's. Connections beyond are closed as they come. nil
	// means no limit.
	Budget   *Budget
	ConnCost int
	// Memory is the same of memory, and ConnMemory how many bytes a connection
	// takes with all that is kept for it.
	Memory     *Budget
	ConnMemory int
	// MaxConnsPerClient is how many connections one client address may have
	// open. Those beyond are closed as they come. 0 means no limit.
	MaxConnsPerClient int
	// MaxRatePerClient is how many connections one client address may open a
	// second; a second's worth may come at once. 0 means no limit.
	MaxRatePerClient int
	// Proxy says which connections begin with a header of the PROXY protocol.
	// The limits for clients then count who the header names.
	Proxy proxyproto.Policy
	// TLS, if not nil, is spoken with clients; see Conn.Handshake.
	TLS *tls.Config
	// HandshakeTimeout bounds what comes before a connection can be served:
	// the PROXY header, the TLS handshake. 0 means 10 s.
	HandshakeTimeout time.Duration
	// Logger takes what an operator should know. It must not be nil.
	Logger *slog.Logger
	// Metrics takes the listener's counters, the same ones for listeners of the
	// same kind, name and address. It must not be nil.
	Metrics *metrics.Set
}

// Listener is a bound TCP listener. All methods are safe for concurrent use.
type Listener struct {
	cfg     Config
	ln      *net.TCPListener
	addr    net.Addr
	closed  chan struct{} // closed when no connection will be accepted any more
	holding sync.Mutex    // held by who changes whether new connections are held off
	kept    atomic.Bool   // somebody else accepts from the socket when this does no more
	once    sync.Once     // guards closed

	share      *share                    // of descriptors, nil without a budget
	memory     *share                    // of memory, nil without a budget
	drainUntil atomic.Pointer[time.Time] // nil while not draining
	arrived    atomic.Uint64             // connections that came, admitted or not

	clients  *limit.Clients // nil without limits for each client
	accepted *metrics.Counter
	rejected [rejections]*metrics.Counter
	failed   *metrics.Counter
	active   *metrics.Gauge // connections open
	refusals [rejections]throttle.Throttle
	trouble  throttle.Throttle

	// mu protects the fields below.
	mu        sync.Mutex
	open      int                    // connections admitted that have not left
	closing   bool                   // the socket is not to be given away any more
	accepting int                    // calls of AcceptConn that are under way
	conns     map[*Conn]struct{}     // those of them that AcceptConn returned
	entrances map[*entrance]struct{} // and those whose PROXY header is awaited in a loop
	empty     chan struct{}          // closed when none is open and the listener closed; nil while nobody waits
	detached  *detached              // set once the socket was given away
}

// Listen binds cfg.Address. The caller closes the listener.
func Listen(cfg Config) (*Listener, error) {
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = 10 * time.Second
	}
	ln := cfg.Inherited
	if ln == nil {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false) // Go's default; an MPTCP socket takes no filter, see holdOff, and costs more
		bound, err := lc.Listen(context.Background(), "tcp", cfg.Address)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %q: %w", cfg.Address, unwrapOp(err))
		}
		ln = bound.(*net.TCPListener)
	}
	l := &Listener{
		cfg:       cfg,
		ln:        ln,
		addr:      ln.Addr(),
		closed:    make(chan struct{}),
		conns:     make(map[*Conn]struct{}),
		entrances: make(map[*entrance]struct{}),
	}
	l.kept.Store(cfg.Kept)
	if cfg.Budget != nil {
		l.share = cfg.Budget.join(cfg.ConnCost)
	}
	if cfg.Memory != nil {
		l.memory = cfg.Memory.join(cfg.ConnMemory)
	}
	labels := fmt.Sprintf(`{listener=%q,name=%q,addr=%q}`, cfg.Kind, cfg.Name, ln.Addr())
	l.accepted = cfg.Metrics.GetOrCreateCounter("sluice_listener_accepted_total" + labels)
	for r := range rejections {
		l.rejected[r] = cfg.Metrics.GetOrCreateCounter("sluice_listener_rejected_total" + strings.TrimSuffix(labels, "}") + fmt.Sprintf(",reason=%q}", r))
	}
	if cfg.MaxConnsPerClient > 0 || cfg.MaxRatePerClient > 0 {
		l.clients = limit.NewClients(cfg.MaxConnsPerClient, float64(cfg.MaxRatePerClient))
	}
	l.failed = cfg.Metrics.GetOrCreateCounter("sluice_listener_accept_errors_total" + labels)
	l.active = cfg.Metrics.GetOrCreateGauge("sluice_listener_connections"+labels, nil)
	return l, nil
}

// unwrapOp returns what is wrong without the address, which the caller names.
func unwrapOp(err error) error {
	var oe *net.OpError
	if errors.As(err, &oe) {
		return oe.Err
	}
	return err
}

// Addr returns the bound address.
func (l *Listener) Addr() net.Addr { return l.addr }

// Address returns where the listener is bound as configured.
func (l *Listener) Address() string { return l.cfg.Address }

// Kept reports that another process goes on with the socket.
func (l *Listener) Kept() bool { return l.kept.Load() }

// Name returns what the listener is for, as configured.
func (l *Listener) Name() string { return l.cfg.Name }

// AcceptConn waits for the next connection. Its error is net.ErrClosed.
func (l *Listener) AcceptConn() (*Conn, error) {
	l.accepts(1)
	defer l.accepts(-1)
	var backoff time.Duration
	for {
		tc, err := l.ln.AcceptTCP()
		if err == nil {
			backoff = 0
			l.extendDrain()
			if c := l.enter(tc); c != nil {
				return c, nil
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) || (l.drainUntil.Load() != nil && errors.Is(err, os.ErrDeadlineExceeded)) {
			l.Close()
			return nil, net.ErrClosed
		}
		backoff = l.acceptFailed(err, backoff)
		select {
		case <-time.After(backoff):
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// accepts notes that somebody begins to accept, or has ended: a connection that
// the system has given away meanwhile is not counted as open yet.
func (l *Listener) accepts(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepting += n
	l.signalEmpty()
}

// acceptFailed counts and logs a failed accept and returns how long to wait
// before the next one, given how long was waited after the one before, 0 if
// that succeeded.
func (l *Listener) acceptFailed(err error, waited time.Duration) time.Duration {
	l.failed.Inc()
	wait := min(max(2*waited, minBackoff), maxBackoff)
	if ok, dropped := l.trouble.Allow(time.Now()); ok {
		l.cfg.Logger.Error("cannot accept a connection; trying again (for EMFILE raise the open files limit or lower max-conns)",
			"listener", l.cfg.Kind, "name", l.cfg.Name, "err", err, "retry_in", wait, "more", dropped)
	}
	return wait
}
