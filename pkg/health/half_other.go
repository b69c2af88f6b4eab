//go:build !linux

package health

import (
	"net"
	"syscall"
)

func delayACK(_, _ string, _ syscall.RawConn) error { return nil }

// abandon leaves it at a FIN.
func abandon(*net.TCPConn) {}
