package health

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"sluice/pkg/backend"
)

// A backend that is given by a name is checked at the addresses that traffic
// uses, in the same order: the first that passes is where traffic goes.

// atKey is the key of an address in a context.
type atKey struct{}

// At returns a context with which checks connect to addr instead of what the
// name of their backend leads to. All else, such as the Host of a request, stays
// the name's.
func At(ctx context.Context, addr netip.AddrPort) context.Context {
	return context.WithValue(ctx, atKey{}, addr)
}

// at returns what to connect to for addr, host:port, whose port may be the
// check's own.
func at(ctx context.Context, addr string) string {
	a, ok := ctx.Value(atKey{}).(netip.AddrPort)
	if !ok {
		return addr
	}
	if _, port, err := net.SplitHostPort(addr); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			a = netip.AddrPortFrom(a.Addr(), uint16(n))
		}
	}
	return a.String()
}

// probeByName makes a check of b.
func probeByName(ctx context.Context, check Check, b *backend.Backend) (Result, error) {
	if b.AddrPort().IsValid() {
		return check.Probe(ctx, b.Addr())
	}
	addrs, err := b.Addresses(ctx)
	if err != nil {
		return Result{}, err
	}
	result, addr, err := backend.Race(ctx, addrs, func(ctx context.Context, addr netip.AddrPort) (Result, error) {
		return check.Probe(At(ctx, addr), b.Addr())
	}, nil)
	if err != nil {
		b.Unreached()
		return Result{}, err
	}
	b.Reached(addr)
	return result, nil
}
