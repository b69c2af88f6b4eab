package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
	"sluice/pkg/echo"
	"sluice/pkg/metricset"
)

// startEcho runs a backend that says its name.
func startEcho(t *testing.T, name string) (addr string) {
	t.Helper()
	s, err := echo.Listen("127.0.0.1:0", echo.Config{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve() }() // ends with Close
	t.Cleanup(func() { s.Close(); <-done })
	return s.Addr().String()
}

// freeAddrs returns addresses that nobody listens on.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // once all are known, so that they differ
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

// read returns the configuration that YAML says, without a control plane.
func read(t *testing.T, items map[string][]string) *config.Config {
	t.Helper()
	c := config.Default()
	c.Admin, c.DrainDelay = config.Off, 0
	for setting, lines := range items {
		for _, line := range lines {
			var err error
			switch setting {
			case "l4":
				err = add(&c.L4, line, config.ParseL4)
			case "l7":
				err = add(&c.L7, line, config.ParseL7)
			case "route":
				err = add(&c.Routes, line, config.ParseRoute)
			case "backend":
				err = add(&c.Backends, line, config.ParseBackend)
			case "l4-driver":
				c.L4Driver = line
			case "service":
				err = add(&c.Services, line, config.ParseService)
			default:
				t.Fatalf("unknown setting %s", setting)
			}
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
	if err := checked(&c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func add[T any](to *[]T, line string, parse func(string) (T, error)) error {
	v, err := parse(line)
	*to = append(*to, v)
	return err
}

// run runs a configuration until the test ends.
func run(t *testing.T, c *config.Config) *Engine {
	t.Helper()
	e, err := New(Options{Config: c, Metrics: metricset.New(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	e.Start()
	return e
}

// sayHello returns what a backend says first when it is spoken to over TCP.
func sayHello(addr string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	if _, body, ok := strings.Cut(string(b), "\r\n\r\n"); ok && err == nil {
		name, _, _ := strings.Cut(body, " ")
		return name, nil
	}
	return "", fmt.Errorf("nothing came: %q, %v", b, err)
}

// ask returns who answers a request, or the status if it is an error.
func ask(url string) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprint(resp.StatusCode), nil
	}
	b, err := io.ReadAll(resp.Body)
	name, _, _ := strings.Cut(string(b), " ")
	return name, err
}

// eventually waits until ok, which is asked again and again.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it never happened that %s", what)
		}
	}
}
