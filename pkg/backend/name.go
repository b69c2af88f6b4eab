package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// nameFresh is how long the addresses of a name are used without looking it
	// up again.
	nameFresh = time.Second
	// nameStale is how long they are used while that is being done. Whoever
	// needs them later waits for the answer.
	nameStale = 5 * time.Second
	// nameTimeout bounds a lookup.
	nameTimeout = 5 * time.Second
)

// Lookup finds the addresses of host:port, of which both may be names. The
// first one is the one to prefer.
type Lookup func(ctx context.Context, hostport string) ([]netip.AddrPort, error)

// LookupSystem asks what the system is configured to ask, /etc/hosts and DNS.
// The order is that of RFC 6724.
func LookupSystem(ctx context.Context, hostport string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		addrs[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return addrs, nil
}

// name is what is known of the addresses of a backend that is given by a name.
// Traffic and checks share it, so that what is checked is what is used. The
// last good answer stays in use when a lookup fails.
type name struct {
	// mu protects the fields below.
	mu      sync.Mutex
	addrs   []netip.AddrPort // in the order in which they are tried; never changed in place
	asked   time.Time        // when the last lookup ended
	err     error            // how it failed
	looking chan struct{}    // closed when the lookup under way ends; nil without one
}

// Known returns the addresses that connections to the backend are tried on, in
// that order, without waiting: those of an address always, those of a name if
// they were looked up lately. It may begin a lookup for those who ask next.
func (b *Backend) Known() ([]netip.AddrPort, bool) {
	if b.addrPort.IsValid() {
		return []netip.AddrPort{b.addrPort}, true
	}
	n := &b.name
	n.mu.Lock()
	defer n.mu.Unlock()
	age := time.Since(n.asked)
	if len(n.addrs) == 0 || age > nameStale {
		return nil, false
	}
	if age >= nameFresh {
		b.look()
	}
	return n.addrs, true
}

// Addresses is Known for those who can wait, until ctx ends.
func (b *Backend) Addresses(ctx context.Context) ([]netip.AddrPort, error) {
	if addrs, ok := b.Known(); ok {
		return addrs, nil
	}
	n := &b.name
	n.mu.Lock()
	looking := b.look()
	n.mu.Unlock()
	var late error
	select {
	case <-looking:
	case <-ctx.Done():
		late = context.Cause(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case len(n.addrs) > 0:
		return n.addrs, nil
	case late != nil:
		return nil, fmt.Errorf("cannot resolve %q in time: %w", b.addr, late)
	}
	return nil, fmt.Errorf("cannot resolve %q: %w", b.addr, n.err)
}

// look begins a lookup, unless one is under way, and returns what is closed when
// it ends. b.name.mu is held.
func (b *Backend) look() chan struct{} {
	n := &b.name
	if n.looking != nil {
		return n.looking
	}
	done := make(chan struct{})
	n.looking = done
	lookup := b.pool.lookup()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), nameTimeout)
		defer cancel()
		addrs, err := lookup(ctx, b.addr)
		if err == nil && len(addrs) == 0 {
			err = errors.New("it has no addresses")
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.err = err; err == nil {
			n.addrs = inTurns(addrs, n.addrs)
		}
		n.asked, n.looking = time.Now(), nil
		close(done)
	}()
	return done
}

// Reached notes that addr, one of the backend's, took a connection or passed a
// check: it is the first to be tried from now on.
func (b *Backend) Reached(addr netip.AddrPort) {
	n := &b.name
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.Index(n.addrs, addr); i > 0 {
		n.addrs = slices.Concat([]netip.AddrPort{addr}, n.addrs[:i], n.addrs[i+1:])
	}
}

// Unreached notes that none of the backend's addresses answered, so that they
// are looked up again soon, as the name may have moved.
func (b *Backend) Unreached() {
	n := &b.name
	n.mu.Lock()
	defer n.mu.Unlock()
	if latest := time.Now().Add(-nameFresh); n.asked.After(latest) {
		n.asked = latest
	}
}

// inTurns returns the order in which addresses are tried: the one that was
// first before, if it is still there, and then IPv6 and IPv4 in turns, each in
// the order given and beginning with the first one's (RFC 8305, section 4).
func inTurns(addrs, before []netip.AddrPort) []netip.AddrPort {
	var families [2][]netip.AddrPort // the first one's, and the other
	for _, a := range addrs {
		f := 0
		if a.Addr().Is4() != addrs[0].Addr().Is4() {
			f = 1
		}
		if !slices.Contains(families[f], a) {
			families[f] = append(families[f], a)
		}
	}
	order := make([]netip.AddrPort, 0, len(addrs)+1)
	if len(before) > 0 && slices.Contains(addrs, before[0]) {
		order = append(order, before[0])
	}
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) && !slices.Contains(order, f[i]) {
				order = append(order, f[i])
			}
		}
	}
	return order
}
