package l7

import (
	"bufio"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/pkg/backend"
)

const (
	// maxIdle is how many idle connections are kept for one backend. There are
	// never more than requests were under way at once during the last
	// idleTime.
	maxIdle = 512
	// idleTime is how long an idle connection is kept. It is below the 5 s
	// after which Node, Apache and others close theirs; those that close even
	// earlier are found out by the look at the connection before each use.
	idleTime = 4 * time.Second
)

// upstreams holds the idle connections to the backends of one service.
type upstreams struct {
	dialer  net.Dialer
	readers *sync.Pool // of *bufio.Reader

	// pools has an idlePool for each backend of the current snapshot.
	pools atomic.Pointer[map[*backend.Backend]*idlePool]

	// mu serialises changes of pools and protects the field below.
	mu     sync.Mutex
	closed bool
}

// follow makes the pools those of s and closes the connections to backends
// that are gone.
func (u *upstreams) follow(s *backend.Snapshot) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old := u.pools.Load()
	pools := make(map[*backend.Backend]*idlePool, len(s.All))
	if !u.closed {
		for _, b := range s.All {
			var p *idlePool
			if old != nil {
				p = (*old)[b]
			}
			if p == nil {
				p = &idlePool{}
			}
			pools[b] = p
		}
	}
	u.pools.Store(&pools)
	if old == nil {
		return
	}
	for b, p := range *old {
		if pools[b] != p {
			p.close()
		}
	}
}

// close closes the idle connections; those in use are closed after it.
func (u *upstreams) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.follow(&backend.Snapshot{})
}

// take returns an idle connection to b that is alive, or nil.
func (u *upstreams) take(b *backend.Backend) *upstream {
	p := (*u.pools.Load())[b]
	if p == nil {
		return nil
	}
	for {
		up := p.pop()
		if up == nil {
			return nil
		}
		if up.alive() {
			up.reused = true
			up.attach(u.readers)
			return up
		}
		up.conn.Close()
	}
}

// dial makes a new connection to b.
func (u *upstreams) dial(ctx context.Context, b *backend.Backend) (*upstream, error) {
	c, err := u.dialer.DialContext(ctx, "tcp", b.Addr())
	if err != nil {
		return nil, err
	}
	up := &upstream{conn: c.(*net.TCPConn)}
	up.look = up.lookAt
	if up.raw, err = up.conn.SyscallConn(); err != nil {
		c.Close()
		return nil, err
	}
	up.attach(u.readers)
	return up, nil
}

// put gives back a connection to b: to be used again if keep, else to be
// closed.
func (u *upstreams) put(b *backend.Backend, up *upstream, keep bool) {
	keep = keep && up.br.Buffered() == 0 // surplus bytes are nobody's response
	up.detach(u.readers)
	if p := (*u.pools.Load())[b]; keep && p != nil && p.push(up) {
		return
	}
	up.conn.Close()
}

// upstream is a connection to a backend. It belongs to one exchange or is
// idle.
type upstream struct {
	conn   *net.TCPConn
	raw    syscall.RawConn
	br     *bufio.Reader // reads through Read; nil while idle
	reused bool

	x *exchange // whose response body is being read, or nil

	idleSince time.Time
	look      func(fd uintptr) // lookAt, made once
	quiet     bool             // what look saw: open, and nothing to read
}

// Read is for br.
func (up *upstream) Read(p []byte) (int, error) {
	if up.x != nil {
		return up.x.readUpstream(p)
	}
	return up.conn.Read(p)
}

func (up *upstream) attach(readers *sync.Pool) {
	up.br = readers.Get().(*bufio.Reader)
	up.br.Reset(up)
}

func (up *upstream) detach(readers *sync.Pool) {
	up.x = nil
	up.br.Reset(nil)
	readers.Put(up.br)
	up.br = nil
}

// alive reports whether an idle connection can be used: its backend has not
// closed it and sent nothing. A byte that nobody asked for would be taken for
// the beginning of the next response.
func (up *upstream) alive() bool {
	up.quiet = false
	return up.raw.Control(up.look) == nil && up.quiet
}

// idlePool holds the idle connections to one backend, last in, first out.
type idlePool struct {
	// mu protects the fields below.
	mu     sync.Mutex
	idle   []*upstream // the longest idle comes first
	timer  *time.Timer // runs sweep while idle is not empty
	closed bool
}

func (p *idlePool) pop() *upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	up := p.idle[n]
	p.idle[n] = nil
	p.idle = p.idle[:n]
	return up
}

// push keeps up unless the pool is full or closed.
func (p *idlePool) push(up *upstream) bool {
	up.idleSince = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, up)
	if p.timer == nil {
		p.timer = time.AfterFunc(idleTime, p.sweep)
	}
	return true
}

// sweep closes what has been idle for too long. The timer goes on only while
// there is something left, so that an unused pool costs nothing.
func (p *idlePool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	stale := 0
	for stale < len(p.idle) && now.Sub(p.idle[stale].idleSince) >= idleTime {
		p.idle[stale].conn.Close()
		stale++
	}
	n := copy(p.idle, p.idle[stale:])
	clear(p.idle[n:])
	p.idle = p.idle[:n]
	if n == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(max(idleTime-now.Sub(p.idle[0].idleSince), time.Millisecond))
}

func (p *idlePool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, up := range p.idle {
		up.conn.Close()
	}
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
