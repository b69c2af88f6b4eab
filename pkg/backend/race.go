package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// AttemptDelay is how long an address may take to answer before the next one
// is tried beside it (RFC 8305, section 5).
const AttemptDelay = 250 * time.Millisecond

// Race tries addresses in their order until one succeeds, as RFC 8305 has it:
// the next one as soon as one has failed or has taken AttemptDelay, beside those
// that are under way. The context of the others ends then, and what they come
// to all the same is passed to drop, unless that is nil. The error names every
// address that was tried.
func Race[T any](ctx context.Context, addrs []netip.AddrPort, try func(context.Context, netip.AddrPort) (T, error), drop func(T)) (T, netip.AddrPort, error) {
	type outcome struct {
		v    T
		addr netip.AddrPort
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome, len(addrs))
	begun, running := 0, 0
	begin := func() {
		addr := addrs[begun]
		begun++
		running++
		go func() {
			v, err := try(ctx, addr)
			outcomes <- outcome{v, addr, err}
		}()
	}
	var none T
	if len(addrs) == 1 {
		v, err := try(ctx, addrs[0])
		return v, addrs[0], At(addrs[0], err)
	}
	begin()
	next := time.NewTimer(AttemptDelay)
	defer next.Stop()
	var errs []error
	for running > 0 {
		select {
		case o := <-outcomes:
			running--
			if o.err == nil {
				if left := running; left > 0 && drop != nil {
					go func() {
						for range left {
							if o := <-outcomes; o.err == nil {
								drop(o.v)
							}
						}
					}()
				}
				return o.v, o.addr, nil
			}
			errs = append(errs, At(o.addr, o.err))
			if begun < len(addrs) && ctx.Err() == nil {
				begin()
				next.Reset(AttemptDelay)
			}
		case <-next.C:
			if begun < len(addrs) && ctx.Err() == nil {
				begin()
				next.Reset(AttemptDelay)
			}
		}
	}
	return none, netip.AddrPort{}, Several(errs)
}

// At says which address err is about, unless it does so itself.
func At(addr netip.AddrPort, err error) error {
	var op *net.OpError
	if err == nil || errors.As(err, &op) && op.Addr != nil {
		return err
	}
	return fmt.Errorf("%v: %w", addr, err)
}

// Several returns errors as one, in one line.
func Several(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return several(errs)
}

type several []error

func (s several) Error() string {
	line := ""
	for i, err := range s {
		if i > 0 {
			line += "; "
		}
		line += err.Error()
	}
	return line
}

func (s several) Unwrap() []error { return s }
