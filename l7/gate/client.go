package gate

import (
	"crypto/tls"
	"net/netip"

	"sluice/pkg/balance"
)

// Client is what a connection says of its client before that says anything.
type Client struct {
	// Addr is the client's own, or that of its PROXY header.
	Addr netip.AddrPort
	// Served says that the driver has served a request on the connection before;
	// the driver sets it.
	Served bool
	// HTTP2 says that the client speaks it; the driver sets it.
	HTTP2 bool

	key     uint64 // of the address, for strategies that hash
	port    uint16 // that the client is connected to, here or there
	cert    string // the lines that tell backends of the client's certificate, or nothing
	secure  bool   // the client uses TLS, with us or with the proxy that says so in its PROXY header
	trusted bool   // the client is a proxy of ours
}

// Arrival is what is known of a connection that was accepted.
type Arrival struct {
	// Client is its client, as a PROXY header says or as it is connected.
	Client netip.AddrPort
	// Local is where the client is connected to by a PROXY header; invalid
	// means the listener's own port.
	Local netip.AddrPort
	// TLS is the state of the client's TLS, which has ended here; or nil.
	TLS *tls.ConnectionState
	// ProxyTLS says that the PROXY header speaks of TLS.
	ProxyTLS bool
}

// Client returns what is known of a client by its connection.
func (g *Gate) Client(a Arrival) Client {
	c := Client{Addr: a.Client, secure: a.TLS != nil || a.ProxyTLS, port: g.port}
	if a.Local.IsValid() {
		c.port = a.Local.Port()
	}
	if a.Client.IsValid() {
		c.key = balance.HashAddr(a.Client.Addr())
		for _, p := range g.cfg.TrustedProxies {
			c.trusted = c.trusted || p.Contains(a.Client.Addr())
		}
	}
	if g.cfg.ClientCerts {
		c.cert = clientCertLines(a.TLS)
	}
	return c
}
