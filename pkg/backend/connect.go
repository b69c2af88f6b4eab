package backend

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// Resolve looks up the address of a backend whose host, or port, is a name, and
// returns the first one. It blocks; b.AddrPort is valid if it is not needed.
func (b *Backend) Resolve(ctx context.Context) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(b.addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), nil
}

// OwnFault reports whether err, of a connect, is this machine's: it has run out
// of ports, descriptors or memory, which no backend is to be blamed for.
func OwnFault(err error) bool {
	for _, e := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
