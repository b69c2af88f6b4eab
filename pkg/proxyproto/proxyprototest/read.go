// Package proxyprototest reads PROXY headers in tests, as backends do.
package proxyprototest

import (
	"context"
	"errors"
	"net"
	"time"

	"sluice/pkg/preface"
	"sluice/pkg/proxyproto"
)

// Read reads a header of one of the accepted versions from c within half a
// minute. It returns the header, as it came too, and the bytes behind it that
// were read as well.
func Read(c net.Conn, accepted proxyproto.Versions) (h proxyproto.Header, raw, rest []byte, err error) {
	size := 0
	limits := preface.Limits{Silent: 30 * time.Second, Whole: 30 * time.Second}
	b, err := preface.Read(context.Background(), c, nil, limits, func(b []byte) (content bool, err error) {
		h, size, err = proxyproto.Parse(b, accepted)
		if errors.Is(err, proxyproto.ErrShort) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return h, nil, nil, err
	}
	return h, b[:size], b[size:], nil
}
