//go:build !linux

package reactor

import "net"

// isReset is not known here.
func isReset(net.Conn) bool { return false }
