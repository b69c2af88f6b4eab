package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// idleSettle is the time after which what a proxy holds is what it keeps.
const idleSettle = time.Second

// heldConns are connections that have had a request each and are kept open.
type heldConns struct {
	mu    sync.Mutex // protects conns
	conns []net.Conn
}

func (h *heldConns) close() {
	for _, c := range h.conns {
		_ = c.Close()
	}
}

// holdConns opens n connections to addr, a few at a time, and sends a request
// on each. The caller closes what it returns, also beside an error.
func holdConns(ctx context.Context, addr string, n int) (*heldConns, error) {
	const workers = 16
	h := &heldConns{}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			buf := make([]byte, 4<<10)
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = h.open(ctx, addr, buf)
			}
		})
	}
	wg.Wait()
	return h, errors.Join(errs...)
}

func (h *heldConns) open(ctx context.Context, addr string, buf []byte) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot connect to the proxy: %w", err)
	}
	h.mu.Lock()
	h.conns = append(h.conns, c)
	h.mu.Unlock()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return fmt.Errorf("cannot set a deadline: %w", err)
	}
	if _, err := io.WriteString(c, smallRequest); err != nil {
		return fmt.Errorf("cannot send a request: %w", err)
	}
	for got := 0; ; {
		n, err := c.Read(buf[got:])
		if err != nil {
			return fmt.Errorf("cannot read a response: %w", err)
		}
		got += n
		size, err := parseResponse(buf[:got])
		if err != nil {
			return err
		}
		if size > 0 {
			return nil
		}
		if got == len(buf) {
			return fmt.Errorf("cannot read a response: it is longer than %d bytes", got)
		}
	}
}
