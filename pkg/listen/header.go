package listen

import (
	"errors"

	"sluice/pkg/preface"
	"sluice/pkg/proxyproto"
)

// header is a PROXY header that is awaited.
type header struct {
	proxyproto.Header
	versions proxyproto.Versions
	size     int
}

// parse is a preface.Parser.
func (h *header) parse(b []byte) (content bool, err error) {
	h.Header, h.size, err = proxyproto.Parse(b, h.versions)
	if errors.Is(err, proxyproto.ErrShort) {
		return false, nil
	}
	return err == nil, err
}

// namesClient reports whether the header says who the client is.
func (h *header) namesClient() bool { return h.Command == proxyproto.Proxy && h.Source.IsValid() }

// headerLimits bound the wait for a PROXY header.
func (l *Listener) headerLimits() preface.Limits {
	return preface.Limits{Silent: l.cfg.HandshakeTimeout, Whole: l.cfg.HandshakeTimeout}
}
