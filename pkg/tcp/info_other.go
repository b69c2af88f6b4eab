//go:build !linux

package tcp

import (
	"net"
	"time"
)

// IsBroken cannot be told here.
func IsBroken(net.Conn) bool { return false }

// SetUserTimeout does nothing: this system has no such timeout.
func SetUserTimeout(net.Conn, time.Duration) {}
