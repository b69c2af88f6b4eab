package desired

import (
	"fmt"
	"strings"
	"time"

	"sluice/discovery/fabio"
	"sluice/pkg/config"
)

// Listener is how one listener of the data path is to run.
type Listener struct {
	// ID is its kind and address, with a number behind it where several want any
	// free port.
	ID   string
	Kind string // l4 or l7
	Name string // of its metrics and in logs
	Addr string
	// Parts are what a TCP listener leads to.
	Parts []Part
	// HTTP is what an HTTP listener is.
	HTTP config.L7
	// Auth are the users that HTTP names.
	Auth config.Auth
	// TCPCommon or HTTPCommon is what it depends on of the settings for all.
	TCPCommon  TCPCommon
	HTTPCommon HTTPCommon
	// Tags says that tags ask for it.
	Tags bool
	// Handshake bounds what comes before a connection can be served.
	Handshake time.Duration
}

// Part is what of a TCP listener leads to one service.
type Part struct {
	config.L4
	To    string // the service's ID
	Speak Speak
}

// Speak is what a TCP listener depends on of a service's settings.
type Speak struct {
	config.Waits
	config.TCPWaits
	QueueTimeout              time.Duration
	ProxyOut                  int
	TLS, TLSCA, TLSServerName string
	DrainTimeout              time.Duration
	CloseOnUnhealthy          bool
}

// TCPCommon is what all TCP listeners share.
type TCPCommon struct {
	ConnectTimeout, ConnectDeadline, HedgeAfter time.Duration
	IdleTimeout, FINTimeout, UserTimeout        time.Duration
}

// HTTPCommon is what all HTTP listeners share.
type HTTPCommon struct {
	ConnectTimeout, HeadTimeout, BodyTimeout, ResponseTimeout time.Duration
	IdleTimeout, FINTimeout, TotalTimeout                     time.Duration
	UpgradeIdleTimeout, UpgradeFINTimeout                     time.Duration
	LingerTimeout, LingerTime                                 time.Duration
	MinBodyRate                                               int
	TrustedProxies                                            []config.CIDR
	LogFields                                                 config.LogFields
}

// configuredListeners returns the listeners of the configuration.
func configuredListeners(c *config.Config) (all []Listener) {
	seen := make(map[string]int)
	id := func(kind, addr string) string {
		key := kind + " " + addr
		if seen[key]++; seen[key] > 1 {
			key += fmt.Sprintf(" %d", seen[key])
		}
		return key
	}
	for _, parts := range c.Listeners() {
		l := Listener{ID: id("l4", parts[0].Addr), Kind: "l4", Addr: parts[0].Addr, Name: parts[0].Service, TCPCommon: tcpCommon(c), Handshake: c.HandshakeTimeout}
		for _, p := range parts {
			l.Parts = append(l.Parts, Part{L4: p, To: p.Service, Speak: speak(c, c.Service(p.Service))})
			if p.Service != l.Name {
				l.Name = l.Addr
			}
		}
		all = append(all, l)
	}
	for _, h := range c.L7 {
		all = append(all, Listener{
			ID: id("l7", h.Addr), Kind: "l7", Addr: h.Addr, Name: h.Addr, HTTP: h, Auth: authOf(c, h.Auth),
			HTTPCommon: httpCommon(c), Handshake: c.HandshakeTimeout,
		})
	}
	return all
}

// taggedListener returns the TCP listener that tags ask for and that leads to a
// service of its own.
func taggedListener(c *config.Config, l fabio.Listener, s Service) Listener {
	return Listener{
		ID: "l4 " + l.Addr, Kind: "l4", Addr: l.Addr, Name: l.Pool, Tags: true, TCPCommon: tcpCommon(c), Handshake: c.HandshakeTimeout,
		Parts: []Part{{L4: config.L4{Addr: l.Addr, Service: l.Pool}, To: s.ID, Speak: speak(c, s.Settings)}},
	}
}

func speak(c *config.Config, s config.Service) Speak {
	out := Speak{
		Waits: s.Waits, TCPWaits: s.TCPWaits, QueueTimeout: s.QueueTimeout, ProxyOut: s.ProxyOut,
		TLS: s.TLS, TLSCA: s.TLSCA, TLSServerName: s.TLSServerName,
		DrainTimeout: c.BackendDrainTimeout, CloseOnUnhealthy: s.CloseOnUnhealthy,
	}
	if s.BackendDrainTimeout != nil {
		out.DrainTimeout = *s.BackendDrainTimeout
	}
	return out
}

func tcpCommon(c *config.Config) TCPCommon {
	return TCPCommon{
		ConnectTimeout: c.L4ConnectTimeout, ConnectDeadline: c.L4ConnectDeadline, HedgeAfter: c.L4HedgeAfter,
		IdleTimeout: c.L4IdleTimeout, FINTimeout: c.L4FINTimeout, UserTimeout: c.L4UserTimeout,
	}
}

func httpCommon(c *config.Config) HTTPCommon {
	return HTTPCommon{
		ConnectTimeout: c.L7ConnectTimeout, HeadTimeout: c.L7HeadTimeout, BodyTimeout: c.L7BodyTimeout, ResponseTimeout: c.L7ResponseTimeout,
		IdleTimeout: c.L7IdleTimeout, FINTimeout: c.L7FINTimeout, TotalTimeout: c.L7TotalTimeout,
		UpgradeIdleTimeout: c.L7UpgradeIdleTimeout, UpgradeFINTimeout: c.L7UpgradeFINTimeout,
		LingerTimeout: c.L7LingerTimeout, LingerTime: c.L7LingerTime, MinBodyRate: c.L7MinBodyRate,
		TrustedProxies: c.TrustedProxies, LogFields: c.LoggedFields(),
	}
}

// authOf returns the users of that name; none for an empty one, or off.
func authOf(c *config.Config, name string) config.Auth {
	for _, a := range c.Auths {
		if a.Name == name {
			return a
		}
	}
	return config.Auth{Name: name}
}

// L4 returns the parts as the configuration has them.
func (l Listener) L4() (parts []config.L4) {
	for _, p := range l.Parts {
		parts = append(parts, p.L4)
	}
	return parts
}

// Certificates returns what TLS clients are shown, of each part.
func (l Listener) Certificates() (all []config.Certificate) {
	if l.Kind == "l7" {
		return []config.Certificate{l.HTTP.Certificate}
	}
	for _, p := range l.Parts {
		all = append(all, p.Certificate)
	}
	return all
}

// AnyPort reports whether the kernel chooses the port.
func (l Listener) AnyPort() bool { return strings.HasSuffix(l.Addr, ":0") }
