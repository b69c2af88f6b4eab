//go:build !linux || portable

package reactor

import "net"

// Secured is TLS that a loop carries itself, which it cannot here.
type Secured struct{ Conn }

// secure returns nil.
func (l *Loop) secure(net.Conn) (*Secured, error) { return nil, nil }
