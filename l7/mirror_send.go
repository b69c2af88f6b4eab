package l7

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/http1"
	"sluice/pkg/backend"
)

const (
	// maxMirrorAnswer is how much of an answer is read at most, in bytes, so that
	// its connection can be used again.
	maxMirrorAnswer = 16 << 20
	// maxMirrorIdle is how many idle connections are kept for each backend.
	maxMirrorIdle = 16
	// mirrorIdle is how long: less than the 5 s after which many servers close
	// theirs.
	mirrorIdle = 4 * time.Second
)

// mirrors sends copies of requests, each in a goroutine of its own, of which
// there are no more than mirrorsAtOnce. Connections are its own. All methods are
// safe for concurrent use.
type mirrors struct {
	closing context.Context
	under   atomic.Int64 // copies under way
	wg      sync.WaitGroup

	// mu protects the field below.
	mu   sync.Mutex
	idle map[*backend.Backend][]*mirrorConn
}

// mirrorCounts count the copies for one service: those that were answered, that
// were not, that were too large to be copied, and that there was no place for.
type mirrorCounts struct{ answered, failed, skipped, dropped *metrics.Counter }

func newMirrorCounts(set *metrics.Set, service string) *mirrorCounts {
	counter := func(result string) *metrics.Counter {
		return set.GetOrCreateCounter(fmt.Sprintf("sluice_l7_mirrored_total{service=%q,result=%q}", service, result))
	}
	return &mirrorCounts{counter("answered"), counter("failed"), counter("skipped"), counter("dropped")}
}

func newMirrors(closing context.Context) *mirrors {
	return &mirrors{closing: closing, idle: make(map[*backend.Backend][]*mirrorConn)}
}

// enter takes a place for a copy, which leave or send gives back.
func (m *mirrors) enter() bool {
	if m.under.Add(1) > mirrorsAtOnce {
		m.under.Add(-1)
		return false
	}
	return true
}

func (m *mirrors) leave() { m.under.Add(-1) }

// mirrored is a copy of a request that is whole.
type mirrored struct {
	counts  *mirrorCounts
	b       *backend.Backend // whose slot is held
	method  string
	message []byte
	connect time.Duration
}

// send sends r. It does not block.
func (m *mirrors) send(r *mirrored) {
	m.wg.Go(func() {
		defer m.leave()
		defer r.b.Release()
		start := time.Now()
		err := m.exchange(r)
		if m.closing.Err() != nil {
			return
		}
		r.b.Observe(time.Since(start), err == nil)
		if err != nil {
			r.counts.failed.Inc()
		} else {
			r.counts.answered.Inc()
		}
	})
}

// wait returns when nothing is under way. closing must have ended.
func (m *mirrors) wait() {
	m.wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, list := range m.idle {
		for _, c := range list {
			c.close()
		}
	}
	clear(m.idle)
}

// exchange sends r and reads the answer. A connection that was idle may have
// died meanwhile; then there is a new one.
func (m *mirrors) exchange(r *mirrored) error {
	ctx, cancel := context.WithTimeout(m.closing, mirrorTime)
	defer cancel()
	for {
		c, err := m.connection(ctx, r)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, c.close)
		keep, began, err := c.exchange(r)
		if alive := stop(); err == nil && keep && alive {
			m.put(r.b, c)
			return nil
		}
		c.close()
		if err == nil || began || !c.reused || ctx.Err() != nil {
			return err
		}
	}
}

// mirrorConn is a connection to a backend.
type mirrorConn struct {
	net.Conn
	reused bool
	timer  *time.Timer // while it is idle
}

func (c *mirrorConn) close() {
	if c.timer != nil {
		c.timer.Stop()
	}
	_ = c.Conn.Close()
}

func (m *mirrors) connection(ctx context.Context, r *mirrored) (*mirrorConn, error) {
	m.mu.Lock()
	if list := m.idle[r.b]; len(list) > 0 {
		c := list[len(list)-1]
		m.idle[r.b] = list[:len(list)-1]
		c.timer.Stop()
		c.reused = true
		m.mu.Unlock()
		return c, nil
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.connect)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", r.b.Addr())
	if err != nil {
		return nil, err
	}
	return &mirrorConn{Conn: nc}, nil
}

// put keeps a connection for a while.
func (m *mirrors) put(b *backend.Backend, c *mirrorConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.idle[b]) >= maxMirrorIdle || m.closing.Err() != nil {
		c.close()
		return
	}
	c.timer = time.AfterFunc(mirrorIdle, func() { m.expire(b, c) })
	m.idle[b] = append(m.idle[b], c)
}

// expire closes a connection that has been idle for too long.
func (m *mirrors) expire(b *backend.Backend, c *mirrorConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, x := range m.idle[b] {
		if x != c {
			continue
		}
		c.close()
		if m.idle[b] = append(m.idle[b][:i], m.idle[b][i+1:]...); len(m.idle[b]) == 0 {
			delete(m.idle, b)
		}
		return
	}
}

var errMirrorAnswer = errors.New("l7: the answer to a copy is too long")

// exchange sends r and reads the answer. keep says that the connection can be
// used again, and began that an answer did.
func (c *mirrorConn) exchange(r *mirrored) (keep, began bool, err error) {
	if _, err := c.Write(r.message); err != nil {
		return false, false, err
	}
	buf, have := make([]byte, 8<<10), 0
	var resp http1.Response
	for {
		n := http1.ResponseHeadLength(buf[:have], 0)
		for n == 0 {
			if have == len(buf) {
				if have > 2*maxFirstRead {
					return false, true, errMirrorAnswer
				}
				buf = append(buf, make([]byte, have)...)
			}
			k, err := c.Read(buf[have:])
			if have += k; k == 0 && err != nil {
				return false, have > 0, err
			}
			n = http1.ResponseHeadLength(buf[:have], 0)
		}
		if err := resp.Parse(buf[:n]); err != nil {
			return false, true, err
		}
		have = copy(buf, buf[n:have])
		if resp.Status == 101 {
			return false, true, errMirrorAnswer
		}
		if resp.Status >= 200 {
			break
		}
	}
	b := http1.NewResponseBody(0)
	if resp.HasBody([]byte(r.method)) {
		b = http1.NewResponseBody(resp.Length)
	}
	for total := 0; ; {
		_, n, err := b.Decode(buf[:have])
		switch total += have; {
		case err != nil:
			return false, true, err
		case b.Done():
			return n == have && !resp.Close && resp.Length != http1.NoLength, true, nil
		case total > maxMirrorAnswer:
			return false, true, errMirrorAnswer
		}
		if have, err = c.Read(buf); have == 0 && err != nil {
			if errors.Is(err, io.EOF) && b.End() {
				return false, true, nil
			}
			return false, true, err
		}
	}
}
