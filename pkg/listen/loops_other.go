//go:build !linux || portable

package listen

import "sluice/pkg/reactor"

// serveLoops is never called: the loops have no sockets here.
func (l *Listener) serveLoops(*reactor.Group, func(Arrival)) error { panic("BUG: no sockets") }
