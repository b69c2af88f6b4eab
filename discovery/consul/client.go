package consul

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/hashicorp/consul/api"
)

const (
	defaultWait     = 8 * time.Second
	maxWait         = 10 * time.Minute // Consul's own limit; it would shorten a longer wait in silence
	defaultMaxStale = 10 * time.Second

	// queryGrace is what a query may take beyond the time that Consul was
	// asked to wait: the way there and back, and a busy server.
	queryGrace = time.Second

	// readTimeout is what a query may take that does not wait for a change, and
	// firstTimeout the same unless several before have failed: others wait for
	// their turn meanwhile.
	readTimeout  = 5 * time.Second
	firstTimeout = 2 * time.Second

	// recheckInterval is how long a watch relies on answers that do not say
	// how stale they are before it asks for one that does.
	recheckInterval = time.Minute
)

// Config says where Consul is and how it is asked. The zero value asks the
// local agent, or whichever the environment names.
//
// Whatever is not set here is taken from the environment as Consul's own tools
// do: CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE,
// CONSUL_HTTP_AUTH, CONSUL_HTTP_SSL, CONSUL_HTTP_SSL_VERIFY, CONSUL_CACERT,
// CONSUL_CAPATH, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY,
// CONSUL_TLS_SERVER_NAME, CONSUL_NAMESPACE and CONSUL_PARTITION.
type Config struct {
	// Address is Consul's HTTP API: host:port, http://host:port,
	// https://host:port or unix:///path. Several agents of one datacenter are
	// separated by commas; they share the load and stand in for each other,
	// and the first is the one that registrations go to. Empty means
	// CONSUL_HTTP_ADDR, or else localhost:8500.
	Address string

	// MaxConns is how many connections to each agent may be open at once. 0
	// means 128; less than MinMaxConns is an error.
	MaxConns int

	// Token is the ACL token sent with each query; it needs service:read on
	// the services watched and node:read on the nodes they run on. It takes
	// precedence over the environment. Empty means the environment's.
	Token string

	// Datacenter is whose catalogue is asked. Empty means that of the agent.
	Datacenter string

	// Wait is how long Consul may hold a query while nothing changes. It sets
	// both the idle cost (a query each Wait) and how long a dead connection
	// goes unnoticed (Wait*17/16 plus a second). 0 means 8 s; negative, or
	// more than Consul's limit of 10 min, is an error.
	Wait time.Duration

	// MaxStale is how long ago the server that answers may have last heard
	// from its leader; an older answer is replaced by the leader's own. 0
	// means 10 s; negative is an error.
	MaxStale time.Duration

	// Keep is how long members stay in use that Consul lost all at once and
	// whose own check passes; see keeper. 0 keeps nobody; negative is an error.
	Keep time.Duration

	// Logger takes one line when contact is lost, one when it is regained,
	// one for each bad entry, and one when a service turns out empty though
	// ACLs may only hide it. Nil means that nothing is logged.
	Logger *slog.Logger

	// Metrics is the set in which metrics are created, by Client.Service and
	// Client.Catalog. Nil means that they are kept nowhere.
	Metrics *metrics.Set
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Wait < 0 || c.Wait > maxWait:
		return c, fmt.Errorf("cannot use wait %s: it must be within 0s and %s", c.Wait, maxWait)
	case c.Keep < 0:
		return c, fmt.Errorf("cannot keep members for %s: it must not be negative", c.Keep)
	case c.MaxConns != 0 && c.MaxConns < MinMaxConns:
		return c, fmt.Errorf("cannot do with %d connections: there must be %d at least", c.MaxConns, MinMaxConns)
	case c.MaxStale < 0:
		return c, fmt.Errorf("cannot use max stale %s: it must not be negative", c.MaxStale)
	}
	if c.Wait == 0 {
		c.Wait = defaultWait
	}
	if c.MaxStale == 0 {
		c.MaxStale = defaultMaxStale
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultMaxConns
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
	return c, nil
}

// Client asks Consul's agents or servers. It is safe for concurrent use and
// holds nothing that must be closed. A token file is read again when Consul
// denies access.
type Client struct {
	config     Config // after withDefaults
	address    string // as configured, for logs
	agents     []*agent
	seats      *seats
	tokenFile  string                 // empty if there is none
	tokenValue atomic.Pointer[string] // nil: the one that the library found

	// Constants but for tests.
	queryTimeout time.Duration
	readTimeout  time.Duration
	firstTimeout time.Duration
	recheck      time.Duration
}

// New returns a client after checking config. It does not connect: whether
// Consul answers is found out, and reported, by the watches.
func New(config Config) (*Client, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	found := api.DefaultConfig() // in the environment
	address := config.Address
	if address == "" {
		address = found.Address
	}
	tokenFile := found.TokenFile
	if config.Token != "" {
		tokenFile = ""
	}
	c := &Client{
		config:       config,
		address:      address,
		tokenFile:    tokenFile,
		queryTimeout: config.Wait + config.Wait/16 + queryGrace,
		readTimeout:  readTimeout,
		firstTimeout: firstTimeout,
		recheck:      recheckInterval,
	}
	for _, one := range addresses(address) {
		a, err := newAgent(one, config)
		if err != nil {
			return nil, err
		}
		c.agents = append(c.agents, a)
	}
	if len(c.agents) == 0 {
		return nil, fmt.Errorf("cannot use Consul at %q: that is no address", address)
	}
	exposeAgents(config.Metrics, c.agents)
	c.seats = newSeats(c)
	// The library prefers the environment's token file to a token that is
	// given, and never reads it again.
	token := config.Token
	if tokenFile != "" {
		if token, err = readToken(tokenFile); err != nil {
			return nil, fmt.Errorf("cannot read Consul's ACL token: %w", err)
		}
	}
	if token != "" {
		c.tokenValue.Store(&token)
	}
	return c, nil
}

// Address returns where Consul is asked, as it was configured.
func (c *Client) Address() string { return c.address }

// token returns the ACL token of the next query, empty for the one that the
// library found in the environment.
func (c *Client) token() string {
	if t := c.tokenValue.Load(); t != nil {
		return *t
	}
	return ""
}

// refused reads the token file again if err says that access was denied, so
// that a token can be replaced without a restart.
func (c *Client) refused(err error) {
	var status api.StatusError
	if c.tokenFile == "" || !errors.As(err, &status) || status.Code != http.StatusForbidden && status.Code != http.StatusUnauthorized {
		return
	}
	if t, err := readToken(c.tokenFile); err == nil {
		c.tokenValue.Store(&t)
	}
}

func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}
