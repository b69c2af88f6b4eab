// Package mirror sends copies of requests to a second service. Nobody waits for
// the answers, which are read and thrown away; connections are its own, and kept
// for a while. Whether a request is copied, and how it reads then, is decided in
// l7/gate.
package mirror

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/l7/http1"
	"sluice/pkg/backend"
)

const (
	// atOnce is how many copies a listener has under way at most, the bodies that
	// are being gathered included.
	atOnce = 128
	// longest is how long a copy may take, from its body's end on.
	longest = time.Minute
	// maxHead is how long the head of an answer may be, in bytes.
	maxHead = 64 << 10
	// maxAnswer is how much of an answer is read at most, in bytes, so that
	// its connection can be used again.
	maxAnswer = 16 << 20
	// maxIdle is how many idle connections are kept for each backend.
	maxIdle = 16
	// idleTime is how long: less than the 5 s after which many servers close
	// theirs.
	idleTime = 4 * time.Second
)

// Sender sends copies of requests, each in a goroutine of its own, of which there
// are no more than atOnce. All methods are safe for concurrent use.
type Sender struct {
	closing context.Context
	cut     context.CancelFunc
	under   atomic.Int64 // copies under way
	// transport is for backends of HTTP/2.
	transport *http.Transport
	wg        sync.WaitGroup

	// mu protects the field below.
	mu   sync.Mutex
	idle map[*backend.Backend][]*conn
}

// Counts count the copies for one service: those that were answered, that
// were not, that were too large to be copied, and that there was no place for.
type Counts struct{ Answered, Failed, Skipped, Dropped *metrics.Counter }

// NewCounts returns the counts of copies for a service in set, the same ones for
// all listeners.
func NewCounts(set *metrics.Set, service string) *Counts {
	counter := func(result string) *metrics.Counter {
		return set.GetOrCreateCounter(fmt.Sprintf("sluice_l7_mirrored_total{service=%q,result=%q}", service, result))
	}
	return &Counts{counter("answered"), counter("failed"), counter("skipped"), counter("dropped")}
}

// New returns a Sender, which starts nothing.
func New() *Sender {
	m := &Sender{idle: make(map[*backend.Backend][]*conn), transport: newTransport()}
	m.closing, m.cut = context.WithCancel(context.Background())
	return m
}

// Enter takes a place for a copy, which Leave or Send gives back. It reports
// false if there is none.
func (m *Sender) Enter() bool {
	if m.under.Add(1) > atOnce {
		m.under.Add(-1)
		return false
	}
	return true
}

// Leave gives a place back.
func (m *Sender) Leave() { m.under.Add(-1) }

// Copy is a copy of a request that is whole.
type Copy struct {
	Counts  *Counts
	Backend *backend.Backend // whose slot is held; Send gives it back
	Method  string
	Message []byte        // as it is sent
	Connect time.Duration // bounds the attempt to connect
	TLS     *tls.Config   // with which that is, or nil
}

// Send sends r, in the place that Enter has taken. It does not block.
func (m *Sender) Send(r *Copy) {
	m.wg.Go(func() {
		defer m.Leave()
		defer r.Backend.Release()
		start := time.Now()
		ask := m.exchange
		if r.Backend.Target().Protocol.Multiplexed() {
			ask = m.exchange2
		}
		err := ask(r)
		if m.closing.Err() != nil {
			return
		}
		r.Backend.Observe(time.Since(start), err == nil)
		if err != nil {
			r.Counts.Failed.Inc()
		} else {
			r.Counts.Answered.Inc()
		}
	})
}

// Close ends what is under way, and returns when it has. Nothing may be sent any
// more.
func (m *Sender) Close() {
	m.cut()
	m.wg.Wait()
	m.transport.CloseIdleConnections()
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
func (m *Sender) exchange(r *Copy) error {
	ctx, cancel := context.WithTimeout(m.closing, longest)
	defer cancel()
	for {
		c, err := m.connection(ctx, r)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, c.close)
		keep, began, err := c.exchange(r)
		if alive := stop(); err == nil && keep && alive {
			m.put(r.Backend, c)
			return nil
		}
		c.close()
		if err == nil || began || !c.reused || ctx.Err() != nil {
			return err
		}
	}
}

// conn is a connection to a backend.
type conn struct {
	net.Conn
	reused bool
	timer  *time.Timer // while it is idle
}

func (c *conn) close() {
	if c.timer != nil {
		c.timer.Stop()
	}
	_ = c.Conn.Close()
}

func (m *Sender) connection(ctx context.Context, r *Copy) (*conn, error) {
	m.mu.Lock()
	if list := m.idle[r.Backend]; len(list) > 0 {
		c := list[len(list)-1]
		m.idle[r.Backend] = list[:len(list)-1]
		c.timer.Stop()
		c.reused = true
		m.mu.Unlock()
		return c, nil
	}
	m.mu.Unlock()
	nc, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: nc}, nil
}

// put keeps a connection for a while.
func (m *Sender) put(b *backend.Backend, c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.idle[b]) >= maxIdle || m.closing.Err() != nil {
		c.close()
		return
	}
	c.timer = time.AfterFunc(idleTime, func() { m.expire(b, c) })
	m.idle[b] = append(m.idle[b], c)
}

// expire closes a connection that has been idle for too long.
func (m *Sender) expire(b *backend.Backend, c *conn) {
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

var errTooLong = errors.New("l7: the answer to a copy is too long")

// exchange sends r and reads the answer. keep says that the connection can be
// used again, and began that an answer did.
func (c *conn) exchange(r *Copy) (keep, began bool, err error) {
	if _, err := c.Write(r.Message); err != nil {
		return false, false, err
	}
	buf, have := make([]byte, 8<<10), 0
	var resp http1.Response
	for {
		n := http1.ResponseHeadLength(buf[:have], 0)
		for n == 0 {
			if have == len(buf) {
				if have > maxHead {
					return false, true, errTooLong
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
			return false, true, errTooLong
		}
		if resp.Status >= 200 {
			break
		}
	}
	b := http1.NewResponseBody(0)
	if resp.HasBody([]byte(r.Method)) {
		b = http1.NewResponseBody(resp.Length)
	}
	for total := 0; ; {
		_, n, err := b.Decode(buf[:have])
		switch total += have; {
		case err != nil:
			return false, true, err
		case b.Done():
			return n == have && !resp.Close && resp.Length != http1.NoLength, true, nil
		case total > maxAnswer:
			return false, true, errTooLong
		}
		if have, err = c.Read(buf); have == 0 && err != nil {
			if errors.Is(err, io.EOF) && b.End() {
				return false, true, nil
			}
			return false, true, err
		}
	}
}
