//go:build !linux

package tcp

import (
	"net"
	"testing"
	"time"
)

func userTimeout(*testing.T, net.Conn) time.Duration { return 0 }
