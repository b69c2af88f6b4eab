package config

import (
	"fmt"
	"net"
	"slices"
)

// Listeners returns the TCP listeners, each as its parts: the L4 that share an
// address, in order of first mention. Addresses with port 0 are never shared.
func (c *Config) Listeners() [][]L4 {
	var all [][]L4
	for _, l := range c.L4 {
		i := slices.IndexFunc(all, func(parts []L4) bool {
			_, port, _ := net.SplitHostPort(l.Addr)
			return parts[0].Addr == l.Addr && (port != "0" || l.SNI != "" && parts[0].SNI != "")
		})
		if i < 0 {
			all = append(all, []L4{l})
		} else {
			all[i] = append(all[i], l)
		}
	}
	return all
}

// Merged returns what the parts of a listener, which must be valid, say of the
// listener as a whole.
func Merged(parts []L4) L4 {
	whole, _ := merged(parts)
	return whole
}

// merged is Merged; what one part says, others need not repeat but must not
// contradict.
func merged(parts []L4) (whole L4, err error) {
	whole.Addr = parts[0].Addr
	number := func(key string, to *int, n int) {
		if n == 0 {
			return
		}
		if *to != 0 && *to != n {
			err = fmt.Errorf("%s is %d for one name and %d for another, but is the listener's", key, *to, n)
		}
		*to = n
	}
	for _, l := range parts {
		number("max-conns", &whole.MaxConns, l.MaxConns)
		number("max-conns-per-client", &whole.MaxConnsPerClient, l.MaxConnsPerClient)
		number("max-rate-per-client", &whole.MaxRatePerClient, l.MaxRatePerClient)
		whole.Fleet = whole.Fleet || l.Fleet
		switch {
		case l.SNIWait == 0:
		case whole.SNIWait != 0 && whole.SNIWait != l.SNIWait:
			err = fmt.Errorf("sni-wait differs between names, but is the listener's")
		default:
			whole.SNIWait = l.SNIWait
		}
		switch {
		case len(l.ALPN) == 0:
		case len(whole.ALPN) > 0 && !slices.Equal(whole.ALPN, l.ALPN):
			err = fmt.Errorf("alpn differs between names, but is the listener's")
		default:
			whole.ALPN = l.ALPN
		}
		switch {
		case l.ClientCA == "":
		case whole.ClientCA != "" && (whole.ClientCA != l.ClientCA || whole.ClientCert != l.ClientCert):
			err = fmt.Errorf("client-ca or client-cert differs between names, but is the listener's")
		default:
			whole.ClientCA, whole.ClientCert = l.ClientCA, l.ClientCert
		}
		if l.Versions == 0 {
			continue
		}
		if whole.Versions != 0 && (whole.Versions != l.Versions || !slices.Equal(whole.From, l.From)) {
			err = fmt.Errorf("proxy-in and proxy-from differ between names, but are the listener's")
		}
		whole.ProxyIn = l.ProxyIn
	}
	return whole, err
}

// ListensAt returns the setting of c that listens at addr, host:port, so that
// nobody else can, or nothing.
func (c *Config) ListensAt(addr string) (setting string) {
	for _, l := range c.L4 {
		if overlap(l.Addr, addr) {
			return "l4"
		}
	}
	for _, l := range c.L7 {
		if overlap(l.Addr, addr) {
			return "l7"
		}
	}
	switch {
	case c.Admin != Off && overlap(c.Admin, addr):
		return "admin"
	case c.HealthAddr != "" && overlap(c.HealthAddr, addr):
		return "health-addr"
	}
	return ""
}
