// Package config is the one description of a run: what to listen on, where
// backends come from, and how everything behaves. It reads YAML, parses the
// short forms that flags and YAML share, and checks the whole for
// contradictions. It knows no flags, but its setting names are theirs: the
// setting "l4-idle-timeout" is the YAML key and, in cmd, the flag.
package config

import (
	"slices"
	"time"

	"sluice/pkg/balance"
	"sluice/pkg/proxyproto"
)

// Off is the address that turns the control plane off.
const Off = "off"

// ZoneAuto is the zone that is found out at the start.
const ZoneAuto = "auto"

// Config is everything that can be set. Default returns the defaults; the
// zero value is not valid.
type Config struct {
	// Demo runs three echo backends in the process and balances over them.
	Demo bool `yaml:"demo"`

	L4       []L4      `yaml:"l4"`
	L7       []L7      `yaml:"l7"`
	Routes   []Route   `yaml:"route"`
	Backends []Backend `yaml:"backend"`
	Services []Service `yaml:"service"`
	Auths    []Auth    `yaml:"auth"`

	// Strategy is how backends are chosen for services that do not say.
	Strategy string `yaml:"strategy"`
	// Consul is the HTTP address of Consul; empty means that no service is
	// looked up there.
	Consul string `yaml:"consul"`
	// ConsulDatacenter is whose catalogue is asked; empty means the agent's.
	ConsulDatacenter string `yaml:"consul-datacenter"`
	// Registers are the services that this process registers itself as.
	Registers []Register `yaml:"register"`
	// DNSServers are asked for names, as host:port; empty means those of the
	// system.
	DNSServers []DNSServer `yaml:"dns-server"`
	// DNSMinTTL and DNSMaxTTL bound the time from one resolution of a name to
	// the next.
	DNSMinTTL time.Duration `yaml:"dns-min-ttl"`
	DNSMaxTTL time.Duration `yaml:"dns-max-ttl"`
	// DNSKeep is how long an answer that a name has no records must last before
	// it is believed.
	DNSKeep time.Duration `yaml:"dns-keep"`
	// ConsulTags is the prefix of tags by which instances in Consul ask for
	// routes and TCP listeners, in Fabio's form; empty means that none do.
	ConsulTags string `yaml:"consul-tags"`
	// ConsulKeep is how long members stay that Consul lost all at once and that
	// pass their own check; 0 means not at all.
	ConsulKeep time.Duration `yaml:"consul-keep"`
	// ConsulMaxConns is how many connections to each agent there may be.
	ConsulMaxConns int `yaml:"consul-max-conns"`

	// Admin is the address of the control plane, or Off.
	Admin string `yaml:"admin"`
	// AdminToken, if not empty, is what callers of the control plane must
	// present as a bearer token.
	AdminToken Secret `yaml:"admin-token"`
	// AdminTokenFile is a file with that token, read again when it changes.
	AdminTokenFile string `yaml:"admin-token-file"`
	// AdminReadToken and AdminReadTokenFile are the same of a token that only
	// looks.
	AdminReadToken     Secret `yaml:"admin-read-token"`
	AdminReadTokenFile string `yaml:"admin-read-token-file"`
	// AdminTLSCert and AdminTLSKey are the files of the certificate that the
	// control plane shows; empty means no TLS. AdminClientCA is that of the
	// authorities whose certificates its clients must show; empty means none.
	AdminTLSCert  string `yaml:"admin-tls-cert"`
	AdminTLSKey   string `yaml:"admin-tls-key"`
	AdminClientCA string `yaml:"admin-client-ca"`
	// AdminClientCert is required or optional; empty means required.
	AdminClientCert string `yaml:"admin-client-cert"`
	// Fleet is the name by which sluices keep what operators change in Consul's
	// KV; empty means that this one is alone.
	Fleet string `yaml:"fleet"`
	// State is the file in which it is kept without a fleet; empty means memory.
	State string `yaml:"state"`
	// Prices are what /admin/cost reckons with.
	Prices Prices `yaml:"prices"`
	// Copilot answers questions at /admin/copilot.
	Copilot Copilot `yaml:",inline"`
	// AdminInsecure allows an Admin address that is not loopback without a
	// token.
	AdminInsecure bool `yaml:"admin-insecure"`
	// HealthAddr is an address that answers only /healthz and /readyz; empty
	// means none.
	HealthAddr string `yaml:"health-addr"`

	// Zone is where this process runs; ZoneAuto finds out, and empty means that
	// zones make no difference.
	Zone string `yaml:"zone"`

	HealthInterval     time.Duration `yaml:"health-interval"`
	HealthFastInterval time.Duration `yaml:"health-fast-interval"`
	HealthDownInterval time.Duration `yaml:"health-down-interval"`
	HealthTimeout      time.Duration `yaml:"health-timeout"`
	HealthRise         int           `yaml:"health-rise"`
	HealthFall         int           `yaml:"health-fall"`

	// MaxEjection is how many of a service's members, in percent, live traffic
	// may get ejected at a time; 0 means none.
	MaxEjection int `yaml:"max-ejection"`
	// EjectionTime is how long the first ejection of a backend lasts.
	EjectionTime time.Duration `yaml:"ejection-time"`
	// PanicThreshold is the part of a service's members, in percent, below
	// which all of them are used; 0 means never.
	PanicThreshold int `yaml:"panic-threshold"`
	// SlowStart is how long a backend that comes back gets less than its
	// share; 0 means never.
	SlowStart time.Duration `yaml:"slow-start"`

	// L7Driver is auto, loop or fasthttp.
	L7Driver string `yaml:"l7-driver"`

	// L4Driver is auto, epoll or copy.
	L4Driver          string        `yaml:"l4-driver"`
	L4ConnectTimeout  time.Duration `yaml:"l4-connect-timeout"`
	L4ConnectDeadline time.Duration `yaml:"l4-connect-deadline"`
	// L4HedgeAfter of 0 means never.
	L4HedgeAfter time.Duration `yaml:"l4-hedge-after"`
	// L4IdleTimeout of 0 means never.
	L4IdleTimeout time.Duration `yaml:"l4-idle-timeout"`
	// L4FINTimeout of 0 means never.
	L4FINTimeout time.Duration `yaml:"l4-fin-timeout"`
	// L4UserTimeout of 0 means the system's limits.
	L4UserTimeout time.Duration `yaml:"l4-user-timeout"`
	// HandshakeTimeout bounds what comes before a connection can be served.
	HandshakeTimeout time.Duration `yaml:"handshake-timeout"`

	L7ConnectTimeout  time.Duration `yaml:"l7-connect-timeout"`
	L7HeadTimeout     time.Duration `yaml:"l7-head-timeout"`
	L7BodyTimeout     time.Duration `yaml:"l7-body-timeout"`
	L7ResponseTimeout time.Duration `yaml:"l7-response-timeout"`
	L7IdleTimeout     time.Duration `yaml:"l7-idle-timeout"`
	// L7BackendIdleTimeout is how long an idle connection to a backend is kept;
	// 0 means that none is.
	L7BackendIdleTimeout time.Duration `yaml:"l7-backend-idle-timeout"`
	// L7TotalTimeout of 0 means no limit.
	L7TotalTimeout time.Duration `yaml:"l7-total-timeout"`
	// L7UpgradeIdleTimeout of 0 means never, L7UpgradeFINTimeout of 0 as the
	// former.
	L7UpgradeIdleTimeout time.Duration `yaml:"l7-upgrade-idle-timeout"`
	L7UpgradeFINTimeout  time.Duration `yaml:"l7-upgrade-fin-timeout"`
	// L7MinBodyRate is how many bytes of a body a client must send or take a
	// second; 0 means any.
	L7MinBodyRate int `yaml:"l7-min-body-rate"`
	// L7LingerTimeout is how long a client is listened to that sends nothing
	// after its last response, and L7LingerTime how long one that does.
	L7LingerTimeout time.Duration `yaml:"l7-linger-timeout"`
	L7LingerTime    time.Duration `yaml:"l7-linger-time"`
	// L7FINTimeout of 0 means never.
	L7FINTimeout time.Duration `yaml:"l7-fin-timeout"`
	// TrustedProxies are the networks, as CIDR, whose X-Forwarded-* headers
	// are believed.
	TrustedProxies []CIDR `yaml:"trusted-proxy"`
	// StickySecret makes cookies of which nobody else can tell what they mean,
	// nor make them; all sluices in front of a service need the same.
	StickySecret Secret `yaml:"sticky-secret"`

	// RetryBudget is how many retries there may be, in percent of first
	// attempts, for each service.
	RetryBudget int `yaml:"retry-budget"`

	// BackendDrainTimeout is how long connections to a backend that was taken
	// out live on; 0 means for ever.
	BackendDrainTimeout time.Duration `yaml:"backend-drain-timeout"`

	DrainDelay   time.Duration `yaml:"drain-delay"`
	DrainTimeout time.Duration `yaml:"drain-timeout"`
	// HandoverTimeout is the same for the connections of a process that handed
	// its listeners to a successor, which nobody waits for.
	HandoverTimeout time.Duration `yaml:"handover-timeout"`

	LogFormat string `yaml:"log-format"`
	LogLevel  string `yaml:"log-level"`
	AccessLog bool   `yaml:"access-log"`
	// AccessLogSample lets one in so many requests and connections into the
	// access log, beside all that failed.
	AccessLogSample int `yaml:"access-log-sample"`
	// AccessLogFields are what the lines of requests have beside what all have.
	AccessLogFields LogFields `yaml:"access-log-fields"`
	// AccessLogFormat is the form of its lines; empty means LogFormat.
	AccessLogFormat string `yaml:"access-log-format"`
	// AccessLogFile and AccessLogSyslog are where the lines go; to stderr if both
	// are empty. AccessLogFile may be Stdout.
	AccessLogFile   string `yaml:"access-log-file"`
	AccessLogSyslog Syslog `yaml:"access-log-syslog"`

	// OTLP is the collector that gets spans of requests, see OTLPEndpoint; empty
	// means none.
	OTLP string `yaml:"otlp"`
	// OTLPSample is how many requests without a trace of their own are sampled, in
	// percent.
	OTLPSample Percent `yaml:"otlp-sample"`
	// MetricsDump is where metrics are dumped now and then; empty means nowhere.
	MetricsDump MetricsDump `yaml:"metrics-dump"`
}

// Default returns the configuration that an empty command line means.
func Default() Config {
	return Config{
		Strategy:            "p2c",
		ConsulKeep:          10 * time.Minute,
		ConsulMaxConns:      128,
		DNSMinTTL:           time.Second,
		DNSMaxTTL:           time.Minute,
		DNSKeep:             time.Minute,
		Admin:               "127.0.0.1:9900",
		Prices:              DefaultPrices(),
		Copilot:             DefaultCopilot(),
		HealthInterval:      2 * time.Second,
		HealthFastInterval:  30 * time.Millisecond,
		HealthDownInterval:  time.Second,
		HealthTimeout:       time.Second,
		HealthRise:          2,
		HealthFall:          3,
		MaxEjection:         50,
		EjectionTime:        30 * time.Second,
		PanicThreshold:      50,
		L7Driver:            "auto",
		L4Driver:            "auto",
		L4ConnectTimeout:    2 * time.Second,
		L4ConnectDeadline:   5 * time.Second,
		L4HedgeAfter:        200 * time.Millisecond,
		L4IdleTimeout:       time.Hour,
		L4FINTimeout:        time.Minute,
		L7ConnectTimeout:    2 * time.Second,
		L7HeadTimeout:       10 * time.Second,
		L7BodyTimeout:       time.Minute,
		L7ResponseTimeout:   time.Minute,
		L7IdleTimeout:       75 * time.Second,
		L7FINTimeout:        time.Second,
		HandshakeTimeout:    10 * time.Second,
		RetryBudget:         20,
		BackendDrainTimeout: 5 * time.Minute,
		DrainDelay:          5 * time.Second,
		DrainTimeout:        20 * time.Second,
		HandoverTimeout:     time.Hour,
		LogFormat:           "json",
		LogLevel:            "info",
		AccessLogSample:     1,
		OTLPSample:          100,

		L7BackendIdleTimeout: 4 * time.Second,
		L7UpgradeIdleTimeout: time.Hour,
		L7UpgradeFINTimeout:  time.Minute,
		L7MinBodyRate:        64,
		L7LingerTimeout:      5 * time.Second,
		L7LingerTime:         10 * time.Minute,
	}
}

// L4 is a TCP listener for a service, or a part of one: several may share an
// address, each for another name.
type L4 struct {
	Addr    string
	Service string
	SNI     string // name that TLS clients ask for, maybe with "*." in front; empty: any other
	ConnLimits
	Waits
	TCPWaits
	ProxyIn
	Certificate
	Hello
}

// ProxyIn says which connections begin with a header of the PROXY protocol.
type ProxyIn struct {
	Versions proxyproto.Versions // none: no connections
	From     []CIDR              // empty: all connections
}

// Certificate is what TLS clients are shown; see certificate.Source.
type Certificate struct {
	Cert string // empty: no TLS
	Key  string

	ClientCA   string // file of the authorities whose certificates clients must show; empty: none
	ClientCert string // required, or optional; empty: required
}

// L7 is an HTTP listener; the routes are common to all.
type L7 struct {
	Addr string
	ConnLimits
	ProxyIn
	Certificate
	HTTP
	HeaderEdits
	AuthName
	Heads
	Waits
	HTTPWaits
	HTTP2
}

// ConnLimits bounds the connections of a listener. Those beyond are closed as
// they come.
type ConnLimits struct {
	MaxConns          int // open at once; 0: as many as the open files limit allows
	MaxConnsPerClient int // open at once from one address; 0: no limit
	MaxRatePerClient  int // new ones a second from one address; 0: no limit
	// Fleet says that the two for clients, and the rate of their requests, are
	// for all sluices of the fleet together.
	Fleet bool
}

// eachClient reports whether anything bounds single clients.
func (c ConnLimits) eachClient() bool { return c.MaxConnsPerClient > 0 || c.MaxRatePerClient > 0 }

// Route leads HTTP requests to a service, or elsewhere.
type Route struct {
	Host    string // lower case, without a port, maybe with "*." in front; empty: any
	Path    string // prefix, begins with a slash
	Service string // empty with a redirect
	Strip   string // prefix taken off before forwarding; empty: none
	RouteOptions
	HeaderEdits
	AuthName
	Mirror
	Waits
	HTTPWaits
}

// Backend is a static member of a service.
type Backend struct {
	Service string
	Addr    string
	Weight  int // 0 to 65535; 0 means no new connections
	Zone    string
	// Priority is its tier, 0 to 65535: those of a later one are used only
	// while none of an earlier one can serve.
	Priority int
}

// Service is what is set for one service alone.
type Service struct {
	Name     string
	Strategy string // empty: Config.Strategy
	// HashBalance bounds the load that a strategy that hashes gives to one
	// backend, in percent of its part; 0: DefaultHashBalance, below 0: no bound.
	HashBalance int
	Consul      string // its name in Consul; empty: Name
	Datacenter  string // in Consul; empty: Config.ConsulDatacenter
	Tag         string // only instances with this tag; empty: all
	Port        string // name or number of their port; empty: the default one
	DNS         string // what is resolved, HOST:PORT or an SRV name; empty: nothing
	File        string // path of a list of members; empty: none
	Check       string // as health.ParseCheck reads it; empty: what a member asks for, or tcp
	checkWay           // of which Check is made

	ProxyOut         int           // version of the PROXY header that backends get; 0: none
	MaxConns         int           // open at once to each backend; 0: no limit
	Queue            int           // how many may wait for one of them
	QueueTimeout     time.Duration // and for how long
	Protocol         string        // spoken with backends that HTTP leads to; empty: http, or https with TLS
	TLS              string        // spoken with backends: verify, skip-verify; empty: no TLS
	TLSCA            string        // file with the authorities that are believed; empty: the system's
	TLSServerName    string        // name that backends must prove; empty: the host of their address
	Failover         Failover      // whose members are used when none of its own can serve
	CloseOnUnhealthy bool          // close connections to a backend whose checks fail

	Connections
	ServiceHealth
	Requests
	HeaderEdits
	Waits
	HTTPWaits
	TCPWaits
	BackendDrainTimeout *time.Duration // 0: for ever; nil: Config's
}

// Register is a service in Consul that this process registers itself as.
type Register struct {
	Service string
	Addr    string   // where clients find it; empty: worked out
	Port    int      // 0: that of the only listener
	ID      string   // of the instance on its agent; empty: made of service, host name and port
	Tags    []string // of the instance
	Check   string   // ttl: it tells Consul that it is ready; http: Consul asks --health-addr; empty: ttl
}

// Secret is a string that is shown as "***" wherever it is printed, logged or
// encoded. Convert it to string to use it.
type Secret string

const masked = "***"

// String returns the mask, or nothing for no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns the mask; JSON, YAML and slog use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ServiceNames returns the names of all services that a listener or a route
// leads to, each once, in order of first mention.
func (c *Config) ServiceNames() []string {
	var names []string
	seen := make(map[string]bool)
	add := func(name string) {
		if name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, l := range c.L4 {
		add(l.Service)
	}
	for _, r := range c.Routes {
		add(r.Service)
		add(r.Canary.Service)
		add(r.Mirror.To)
	}
	return names
}

// Service returns the settings of the named service with the defaults filled
// in.
func (c *Config) Service(name string) Service {
	s := Service{Name: name}
	for _, x := range c.Services {
		if x.Name == name {
			s = x
		}
	}
	if s.Strategy == "" {
		s.Strategy = balance.Canonical(c.Strategy)
		if s.hashes() && s.checkStrategy(s.Strategy) != nil {
			s.Strategy = "consistent_hash"
		}
	}
	if s.HashBalance == 0 {
		s.HashBalance = DefaultHashBalance
	}
	if s.Sticky.By == "cookie" && s.Sticky.Name == "" {
		s.Sticky.Name = "sluice_" + name
	}
	if s.Consul == "" {
		s.Consul = name
	}
	if s.Check == "" {
		s.Check = "tcp"
	}
	if s.Queue == 0 {
		s.Queue = 1024
	}
	if s.QueueTimeout == 0 {
		s.QueueTimeout = 5 * time.Second
	}
	s.ServiceHealth = s.ServiceHealth.withDefaults(c)
	return s
}

// InConsul reports whether members of the service are looked up in Consul: if
// its settings say so, or if they come from nowhere else.
func (c *Config) InConsul(name string) bool {
	if c.asksConsul(name) {
		return true
	}
	s := c.Service(name)
	return s.DNS == "" && s.File == "" && len(c.StaticBackends(name)) == 0
}

// HasService reports whether there are settings for the named service alone.
func (c *Config) HasService(name string) bool {
	return slices.ContainsFunc(c.Services, func(s Service) bool { return s.Name == name })
}

// StaticBackends returns the static members of the named service.
func (c *Config) StaticBackends(name string) []Backend {
	var bs []Backend
	for _, b := range c.Backends {
		if b.Service == name {
			bs = append(bs, b)
		}
	}
	return bs
}
