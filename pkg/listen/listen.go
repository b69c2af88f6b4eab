package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
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

// Conn is an accepted connection. Its TCPConn may be used directly for
// reading and writing; Close must be called on the Conn.
type Conn struct {
	*net.TCPConn
	l      *Listener
	client netip.AddrPort
	place  Place
	since  time.Time
	closed atomic.Bool
}

// Client returns the client's address, an IPv4 one as such.
func (c *Conn) Client() netip.AddrPort { return c.client }

// Close closes the connection and gives its place under the cap back. Only
// the first call counts.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	err := c.TCPConn.Close()
	c.l.forget(c)
	return err
}

// Detach returns the connection below, for somebody who serves it from now on, and
// closes it. Close still gives the place back, and CloseConns knows it no more.
func (c *Conn) Detach() (*net.TCPConn, error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if _, there := c.l.conns[c]; !there {
		return nil, net.ErrClosed
	}
	delete(c.l.conns, c)
	return c.TCPConn, nil
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

// Place is a connection's place under the limits of its listener. The zero
// value is none.
type Place struct {
	client *netip.Addr // nil if the client is not tracked
	held   bool
}

// admit gives a new connection from peer a place, or reports false if that
// exceeds a limit; the connection must then be closed. Leave gives the place
// back. If ExpectsHeader, the limits for clients are left to admitClient.
func (l *Listener) admit(peer netip.Addr) (p Place, ok bool) {
	l.arrived.Add(1)
	l.mu.Lock()
	full, why := l.cfg.MaxConns > 0 && l.open >= l.cfg.MaxConns, MaxConns
	if !full && !l.share.take() {
		full, why = true, OpenFiles
	}
	if !full && !l.memory.take() {
		l.share.give()
		full, why = true, Memory
	}
	if !full {
		l.open++
		l.active.Inc()
	}
	l.mu.Unlock()
	if full {
		l.Reject(why, peer, nil)
		return p, false
	}
	p.held = true
	if !l.ExpectsHeader(peer) && !l.admitClient(&p, peer) {
		l.Leave(p)
		return p, false
	}
	l.accepted.Inc()
	return p, true
}

// ExpectsHeader reports whether a connection from peer begins with a header of
// the PROXY protocol, which says who the client is.
func (l *Listener) ExpectsHeader(peer netip.Addr) bool { return l.cfg.Proxy.Expects(peer) }

// LimitClients changes how many connections one client address may have open and
// may open a second, of a listener that was bound with such limits; 0 means no
// limit. Connections that are open stay.
func (l *Listener) LimitClients(maxConns int, perSecond float64) {
	if l.clients != nil {
		l.clients.Set(maxConns, perSecond)
	}
}

// ClientLimits returns these limits.
func (l *Listener) ClientLimits() (maxConns int, perSecond float64) {
	if l.clients == nil {
		return 0, 0
	}
	return l.clients.Bounds()
}

// admitClient enters client into the place of its connection, or reports false
// if that exceeds a limit.
func (l *Listener) admitClient(p *Place, client netip.Addr) bool {
	if l.clients == nil || p.client != nil {
		return true
	}
	switch l.clients.Enter(client, time.Now()) {
	case limit.ClientTooMany:
		l.Reject(ClientConns, client, nil)
		return false
	case limit.ClientTooFast:
		l.Reject(ClientRate, client, nil)
		return false
	case limit.ClientNotTracked:
		return true // there is nothing for Leave to give back
	}
	entered := client // client itself would be on the heap, limits or none
	p.client = &entered
	return true
}

// Leave gives back the place of a connection that has ended.
func (l *Listener) Leave(p Place) {
	if !p.held {
		return
	}
	if p.client != nil {
		l.clients.Leave(*p.client)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.active.Dec()
	l.share.give()
	l.memory.give()
	l.leaveBudget()
	l.signalEmpty()
}

// enter counts tc in, or closes it and returns nil if that exceeds a limit.
func (l *Listener) enter(tc *net.TCPConn) *Conn {
	client := addrPortOf(tc.RemoteAddr())
	place, ok := l.admit(client.Addr())
	if !ok {
		tc.Close()
		return nil
	}
	c := &Conn{TCPConn: tc, l: l, client: client, place: place, since: time.Now()}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	l.Leave(c.place)
}

// signalEmpty wakes Wait once nothing is open and nothing can come; l.mu is
// held.
func (l *Listener) signalEmpty() {
	if l.empty == nil || l.open > 0 || l.accepting > 0 {
		return
	}
	select {
	case <-l.closed:
		close(l.empty)
		l.empty = nil
	default:
	}
}

// leaveBudget takes the listener out of the budgets once nothing is open and
// nothing can come; l.mu is held.
func (l *Listener) leaveBudget() {
	select {
	case <-l.closed:
		if l.open == 0 {
			l.share.leave()
			l.memory.leave()
		}
	default:
	}
}

// Closed reports whether no connection will be accepted any more.
func (l *Listener) Closed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Open returns how many connections are open.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Close stops accepting at once; connections still in the kernel's queue are
// reset. Open connections are left alone. It is idempotent.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		l.mu.Lock()
		l.closing = true
		d := l.detached
		l.mu.Unlock()
		if d != nil {
			err = d.close()
		} else {
			err = l.ln.Close()
		}
		close(l.closed)
		l.mu.Lock()
		l.leaveBudget()
		l.signalEmpty()
		l.mu.Unlock()
	})
	return err
}

// Keep tells the listener that another process has the socket now, and accepts
// from it, so that nothing is lost when it closes. Others are not held off then.
func (l *Listener) Keep() { l.kept.Store(true) }

// Drain stops new connections and returns once those that the kernel had
// already queued are accepted and the listener is closed, after some 0.2 s
// and at most 2 s. Somebody must be calling AcceptConn meanwhile. On Linux new
// SYNs are dropped while the queue empties, so that no connection is
// established only to be reset; elsewhere one may be.
//
// A socket that another process goes on with is closed at once, queue and all.
func (l *Listener) Drain() {
	if l.Closed() {
		return
	}
	l.holding.Lock()
	kept := l.kept.Load()
	var err error
	if !kept {
		err = l.onSocket(holdOff)
	}
	l.holding.Unlock()
	if kept {
		l.Close()
		return
	}
	if err != nil {
		l.cfg.Logger.Warn("cannot hold off new connections while draining", "listener", l.cfg.Kind, "name", l.cfg.Name, "err", err)
	}
	end := time.Now().Add(drainMax)
	l.drainUntil.Store(&end)
	l.extendDrain()
	// AcceptConn closes the listener when nothing came for a while; for a socket
	// that was given away, the loop below does.
	ticker := time.NewTicker(drainQuiet)
	defer ticker.Stop()
	for seen := l.arrived.Load(); time.Now().Before(end); {
		select {
		case <-l.closed:
			return
		case <-ticker.C:
		}
		if n := l.arrived.Load(); n != seen {
			seen = n
		} else if l.isDetached() {
			break
		}
	}
	l.Close()
}

// Reclaim is Socket of a listener that may be draining: connections that it held
// off are established again. It fails once the listener is closed.
func (l *Listener) Reclaim() (*net.TCPListener, error) {
	l.holding.Lock()
	defer l.holding.Unlock()
	ln, err := l.Socket()
	if err != nil {
		return nil, err
	}
	l.kept.Store(true)
	if err := l.onSocket(letIn); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// onSocket calls f with the descriptor of the listening socket, unless that is
// closed.
func (l *Listener) onSocket(f func(fd int) error) error {
	l.mu.Lock()
	d := l.detached
	l.mu.Unlock()
	if d != nil {
		return d.onSocket(f)
	}
	rc, err := l.ln.SyscallConn()
	if err != nil {
		return err
	}
	var attached error
	if err := rc.Control(func(fd uintptr) { attached = f(int(fd)) }); err != nil {
		return err
	}
	return attached
}

// extendDrain moves the moment at which a draining listener gives up waiting.
func (l *Listener) extendDrain() {
	end := l.drainUntil.Load()
	if end == nil {
		return
	}
	quiet := time.Now().Add(drainQuiet)
	if quiet.After(*end) {
		quiet = *end
	}
	_ = l.ln.SetDeadline(quiet) // fails only if closed, which AcceptConn sees
}

// Wait blocks until the listener is closed and no connection is open, or
// until ctx ends, whose error it then returns.
func (l *Listener) Wait(ctx context.Context) error {
	l.mu.Lock()
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.signalEmpty()
	l.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CloseConns closes every open connection that AcceptConn returned, or that is
// not served yet, and returns how many there were.
func (l *Listener) CloseConns() int {
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	entrances := slices.Collect(maps.Keys(l.entrances))
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	for _, e := range entrances {
		e.arrival.Stream.Loop().Post(e.close)
	}
	return len(conns) + len(entrances)
}
