package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/hashicorp/consul/api"
)

// agent is one address of Consul.
type agent struct {
	address   string // as configured, for logs
	consul    *api.Client
	transport *http.Transport
	register  *api.Client // with connections of its own
	log       *slog.Logger
	open      atomic.Int64     // connections
	in, out   *metrics.Counter // bytes

	// mu protects the fields below.
	mu       sync.Mutex
	failures int       // in a row
	retry    time.Time // when it is worth another attempt
	told     bool      // that it does not answer
}

// agentLost is how many failures in a row make an agent one that is asked only
// now and then, if there are others.
const agentLost = 2

// addresses splits what Config.Address names.
func addresses(list string) (all []string) {
	for a := range strings.SplitSeq(list, ",") {
		if a = strings.TrimSpace(a); a != "" {
			all = append(all, a)
		}
	}
	return all
}

// newAgent makes the clients of one address.
func newAgent(address string, config Config) (*agent, error) {
	a := &agent{address: address, log: config.Logger.With("consul", address)}
	var err error
	if a.consul, a.transport, err = a.client(config, config.MaxConns-registerConns); err != nil {
		return nil, err
	}
	a.register, _, err = a.client(config, registerConns)
	return a, err
}

func (a *agent) client(config Config, conns int) (*api.Client, *http.Transport, error) {
	ac := api.DefaultConfig()
	ac.Address, ac.Datacenter = a.address, config.Datacenter
	if config.Token != "" {
		ac.Token = config.Token
	}
	// Many watches share the transport, and each is without a query for a
	// moment now and then: its connection must not be closed for that.
	t := ac.Transport
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 0, conns, conns
	// Many queries share a connection where TLS lets both sides agree on it.
	t.ForceAttemptHTTP2 = true
	dial := t.DialContext
	if path, ok := strings.CutPrefix(ac.Address, "unix://"); ok {
		// The library would take a transport without limits.
		ac.Address, ac.Scheme = "localhost", "http"
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		a.open.Add(1)
		return &countedConn{Conn: c, agent: a}, nil
	}
	consul, err := api.NewClient(ac)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use Consul at %q: %w", a.address, err)
	}
	return consul, t, nil
}

// countedConn counts itself while it is open, and its bytes.
type countedConn struct {
	net.Conn
	agent *agent
	once  sync.Once
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.agent.in.Add(n)
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.agent.out.Add(n)
	return n, err
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.agent.open.Add(-1) })
	return c.Conn.Close()
}

// claim reports whether the agent is worth asking first. One that does not
// answer is, for one caller each time its back-off is over.
func (a *agent) claim(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failures < agentLost {
		return true
	}
	if now.Before(a.retry) {
		return false
	}
	a.retry = now.Add(maxBackoff)
	return true
}

// lost reports whether the agent does not answer, as far as is known.
func (a *agent) lost() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failures >= agentLost
}

func (a *agent) succeeded() {
	a.mu.Lock()
	told := a.told
	a.failures, a.told = 0, false
	a.mu.Unlock()
	if told {
		a.log.Info("a Consul agent answers again")
	}
}

// failed takes note of an error of the agent; alone says that there is no
// other one, so that the watches speak of it.
func (a *agent) failed(now time.Time, err error, alone bool) {
	a.mu.Lock()
	a.failures++
	a.retry = now.Add(backoff(a.failures, rand.Float64()))
	news := a.failures >= agentLost && !a.told && !alone
	a.told = a.told || news
	a.mu.Unlock()
	if news {
		a.log.Warn("a Consul agent does not answer; others are asked in its place", "reason", explain(err), "err", err)
	}
}

// agentsFault reports whether err may be none from another agent: all but the
// answers that say something about the question.
func agentsFault(err error) bool {
	var status api.StatusError
	if !errors.As(err, &status) {
		return !errors.Is(err, errHidden)
	}
	return status.Code >= 500 && !unknownDatacenter(status) || status.Code == http.StatusTooManyRequests
}

// order returns the agents in the order in which they are to be asked: those
// that answer first, beginning with the one that is home.
func (c *Client) order(home int, now time.Time) []*agent {
	if len(c.agents) == 1 {
		return c.agents
	}
	var first, last []*agent
	for i := range c.agents {
		a := c.agents[(home+i)%len(c.agents)]
		switch {
		case len(first) == 0 && a.claim(now), !a.lost():
			first = append(first, a)
		default:
			last = append(last, a)
		}
	}
	return append(first, last...)
}

// answering returns how many agents answer, as far as is known, 1 at least.
func (c *Client) answering() (n int) {
	for _, a := range c.agents {
		if !a.lost() {
			n++
		}
	}
	return max(n, 1)
}

// unknownDatacenter reports whether an answer says that there is no path to
// the datacenter that was asked for.
func unknownDatacenter(s api.StatusError) bool {
	return s.Code >= 500 && strings.Contains(s.Body, "No path to datacenter")
}
