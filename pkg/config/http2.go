package config

import "fmt"

// HTTP2 says whether, and how, an HTTP listener speaks HTTP/2.
type HTTP2 struct {
	H2         *bool // with TLS clients that offer it; nil: true
	H2C        bool  // with clients that do not use TLS and begin with it
	MaxStreams int   // requests of one connection at once; 0: 128
}

// maxStreams is the most that HTTP2.MaxStreams may be.
const maxStreams = 10_000

func (h *HTTP2) keys() []string { return []string{"h2", "h2c", "h2-max-streams"} }

func (h *HTTP2) set(key, value string) (err error) {
	switch key {
	case "h2":
		h.H2, err = toggle(key, value)
	case "h2c":
		h.H2C, err = boolean(key, value)
	case "h2-max-streams":
		h.MaxStreams, err = count(key, value)
	}
	return err
}

func (h *HTTP2) check(tls bool) error {
	switch {
	case h.MaxStreams > maxStreams:
		return fmt.Errorf("h2-max-streams=%d is more than %d", h.MaxStreams, maxStreams)
	case tls && h.H2C:
		return fmt.Errorf("h2c=true is for clients that do not use TLS, which tls-cert= asks for; with TLS, HTTP/2 is spoken anyway")
	case !tls && h.H2 != nil && *h.H2:
		return fmt.Errorf("h2=true needs tls-cert=; without TLS it is h2c=true")
	}
	return nil
}

func (h *HTTP2) pairs() (all []pair) {
	if h.H2 != nil {
		all = append(all, pair{"h2", fmt.Sprint(*h.H2)})
	}
	if h.H2C {
		all = append(all, pair{"h2c", "true"})
	}
	return append(all, pair{"h2-max-streams", nonzero(h.MaxStreams)})
}

// Offers reports whether HTTP/2 is offered to clients of TLS.
func (h *HTTP2) Offers() bool { return h.H2 == nil || *h.H2 }
