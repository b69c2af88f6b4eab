package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// load opens TCP connections and sends GETs at a steady rate and keeps what
// went wrong.
type load struct {
	stop chan struct{}
	wg   sync.WaitGroup

	client *http.Client

	// mu protects the fields below.
	mu     sync.Mutex
	begun  map[string]int // by kind
	done   map[string]int
	errs   []error
	killed time.Time // see excuse
}

// startLoad begins with perSecond of each: new TCP connections to l4, each
// with one exchange, and GETs to l7 on kept connections. An empty address
// leaves that kind out.
func startLoad(perSecond int, l4, l7 string) *load {
	l := &load{stop: make(chan struct{}), begun: make(map[string]int), done: make(map[string]int), client: &http.Client{
		Timeout:   20 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}}
	if l4 != "" {
		l.tick(perSecond, "tcp", func() error { return exchangeTCP(l4) })
	}
	if l7 != "" {
		l.tick(perSecond, "get", func() error { return l.get("http://" + l7 + "/load") })
	}
	return l
}

func (l *load) tick(perSecond int, kind string, do func() error) {
	l.wg.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-ticker.C:
			}
			l.mu.Lock()
			l.begun[kind]++
			l.mu.Unlock()
			l.wg.Go(func() {
				begun := time.Now()
				err := do()
				l.mu.Lock()
				defer l.mu.Unlock()
				l.done[kind]++
				if err != nil && !(kind == "tcp" && begun.Before(l.killed) && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, errNothing))) {
					l.errs = append(l.errs, fmt.Errorf("%s at %s: %w", kind, time.Now().Format("15:04:05.000"), err))
				}
			})
		}
	})
}

// exchangeTCP sends a line on a new connection and expects it back.
func exchangeTCP(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	const message = "a line that comes back\n"
	if _, err := c.Write([]byte(message)); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	switch {
	case err == nil && len(got) == 0:
		err = errNothing
	case err == nil && string(got) != message:
		err = fmt.Errorf("got %q back", got)
	}
	return err
}

// errNothing says that a connection ended in good order before a byte came.
var errNothing = errors.New("nothing came back")

func (l *load) get(url string) error {
	resp, err := l.client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "GET /load")) {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return err
}

// excuse forgives TCP connections that began before killed, when a backend was
// killed: what they had sent to it may have been acted upon, so
// that nobody could send it to another one. They may be reset, or end with
// nothing, which is what the system makes of them when the backend had read all
// that had come; nothing else may happen to them, and nothing at all to those
// that begin later.
func (l *load) excuse(killed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = killed
}

// count returns how many of a kind have ended.
func (l *load) count(kind string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[kind]
}

// waiting returns how many of a kind have begun and not ended.
func (l *load) waiting(kind string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun[kind] - l.done[kind]
}

// end stops the load and returns everything that went wrong.
func (l *load) end() error {
	close(l.stop)
	l.wg.Wait()
	l.client.CloseIdleConnections()
	return errors.Join(l.errs...)
}

// wantClean ends the load and fails if anything went wrong or hardly anything
// was done.
func (l *load) wantClean(t *testing.T, atLeast int) {
	t.Helper()
	if err := l.end(); err != nil {
		t.Errorf("failed under load: %v", err)
	}
	for kind, n := range l.done {
		if n < atLeast {
			t.Errorf("unexpected load; got %d of %s; want at least %d", n, kind, atLeast)
		}
	}
}
