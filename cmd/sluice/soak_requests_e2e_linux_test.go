package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// crowd comes with more than the service has slots and places to wait.
func (s *soakClients) crowd(c chaos, tcp bool) error {
	var wg sync.WaitGroup
	for range 12 {
		d := c.within(300 * time.Millisecond)
		wg.Go(func() {
			if tcp {
				conn, abort, err := s.dial(s.few, nil)
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = conn.Write([]byte("x"))
				_ = conn.SetReadDeadline(time.Now().Add(d))
				if _, err := io.Copy(io.Discard, conn); d%2 == 0 && err != nil {
					abort()
				}
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*d)
			defer cancel()
			if req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://%s/slow?d=%s", s.l7, d), nil); err == nil {
				req.Host = "few.example"
				_ = s.answer(s.kept, req, io.Discard)
			}
		})
	}
	wg.Wait()
	return nil
}

// answer sends a request and copies the body of the answer.
func (s *soakClients) answer(client *http.Client, req *http.Request, w io.Writer) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		_, err = io.Copy(w, resp.Body)
		return err
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("%w: %d %s", errRefused, resp.StatusCode, resp.Header.Get("X-Sluice-Reason"))
	}
	return fmt.Errorf("%w: status %d %s", errCorrupt, resp.StatusCode, resp.Header.Get("X-Sluice-Reason"))
}

// request sends one that gives up after an interval that is not 0.
func (s *soakClients) request(c chaos, req *http.Request, want *compared, size int64, after time.Duration) error {
	if after != 0 {
		ctx, cancel := context.WithTimeout(context.Background(), after)
		defer cancel()
		req = req.WithContext(ctx)
	}
	err := s.answer(one(c, s.kept, s.kept, s.fresh), req, want)
	if err == nil && want.n != size {
		err = fmt.Errorf("%w: a whole answer of %d bytes; want %d", errCorrupt, want.n, size)
	}
	return err
}

func (s *soakClients) get(c chaos, url string, after time.Duration) error {
	size := c.size()
	req, err := http.NewRequest("GET", fmt.Sprintf("%s/bytes/%d", url, size), nil)
	if err != nil {
		return err
	}
	return s.request(c, req, &compared{want: io.LimitReader(&ramp{}, size)}, size, after)
}

func (s *soakClients) post(c chaos, url string, after time.Duration) error {
	size, seed := c.size(), c.Uint64()
	body := stream(seed, size)
	if c.IntN(4) == 0 {
		size = min(size, 100)
		body = dripping{stream(seed, size)}
	}
	req, err := http.NewRequest("POST", url+"/upload", body)
	if err != nil {
		return err
	}
	if c.IntN(2) == 0 {
		req.ContentLength = size
	}
	if c.IntN(4) == 0 {
		req.Header.Set("Expect", "100-continue")
	}
	return s.request(c, req, &compared{want: stream(seed, size)}, size, after)
}

// pipeline sends several requests at once and reads the answers in their order.
func (s *soakClients) pipeline(c chaos) error {
	conn, _, err := s.dial(s.l7, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	var sizes []int64
	var all bytes.Buffer
	for range 1 + c.IntN(5) {
		sizes = append(sizes, 1+c.Int64N(10_000))
		fmt.Fprintf(&all, "GET /bytes/%d HTTP/1.1\r\nHost: x\r\n\r\n", sizes[len(sizes)-1])
	}
	if _, err := conn.Write(all.Bytes()); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	for _, size := range sizes {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%w: %s", errRefused, resp.Status)
		}
		want := &compared{want: io.LimitReader(&ramp{}, size)}
		if _, err := io.Copy(want, resp.Body); err != nil {
			return err
		}
		if want.n != size {
			return fmt.Errorf("%w: a whole answer of %d bytes; want %d", errCorrupt, want.n, size)
		}
	}
	return nil
}

// upgrade switches protocols and has bytes echoed.
func (s *soakClients) upgrade(c chaos, after time.Duration) error {
	addr, cfg := s.l7, (*tls.Config)(nil)
	if c.IntN(2) == 0 {
		addr, cfg = s.l7TLS, s.tls
	}
	conn, abort, err := s.dial(addr, cfg)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: upgrade.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		conn.Close()
		return err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		conn.Close()
		return errors.Join(err, errRefused)
	}
	return s.exchange(c, conn, r, abort, after, c.IntN(4) == 0)
}
