package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hello is what a TCP listener makes of the first message of TLS clients.
type Hello struct {
	// SNIWait is how long a client may say nothing, with sni=, before it is led
	// to the service without; 0 means the default, negative as long as a
	// handshake may take.
	SNIWait time.Duration
	// ALPN are the protocols that are agreed on, in order of preference, with
	// tls-cert=; ALPNNone alone means that none is, and empty that a client's
	// choice counts where it leaves none.
	ALPN []string
}

// ALPNNone is the value of alpn= by which nothing is negotiated.
const ALPNNone = "none"

func (h *Hello) keys() []string { return []string{"sni-wait", "alpn"} }

func (h *Hello) lists(key string) bool { return key == "alpn" }

func (h *Hello) set(key, value string) (err error) {
	switch key {
	case "sni-wait":
		if h.SNIWait, err = duration(key, value); h.SNIWait == 0 {
			h.SNIWait = -1
		}
	case "alpn":
		for p := range strings.SplitSeq(value, ",") {
			if p == "" || len(p) > 255 || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				return fmt.Errorf("alpn=%q is no list of protocols such as h2,http/1.1", value)
			}
			if slices.Contains(h.ALPN, p) {
				return fmt.Errorf("alpn=%q has %s twice", value, p)
			}
			h.ALPN = append(h.ALPN, p)
		}
	}
	return err
}

func (h *Hello) check(c Certificate) error {
	switch {
	case len(h.ALPN) > 0 && c.Cert == "":
		return fmt.Errorf("alpn=%s needs tls-cert=, for a handshake that goes through to the backend is the backend's", strings.Join(h.ALPN, ","))
	case len(h.ALPN) > 1 && slices.Contains(h.ALPN, ALPNNone):
		return fmt.Errorf("alpn=%s: none excludes all others", strings.Join(h.ALPN, ","))
	case h.SNIWait != 0 && c.Cert != "":
		return fmt.Errorf("sni-wait= is of no use with tls-cert=, where the handshake is awaited")
	}
	return nil
}

func (h *Hello) pairs() []pair {
	wait := ""
	switch {
	case h.SNIWait > 0:
		wait = h.SNIWait.String()
	case h.SNIWait < 0:
		wait = "0s"
	}
	return []pair{{"sni-wait", wait}, {"alpn", strings.Join(h.ALPN, ",")}}
}
