//go:build !linux

package l4

import (
	"net"
	"time"
)

// setUserTimeout does nothing: this system has no such timeout.
func setUserTimeout(*net.TCPConn, time.Duration) {}
