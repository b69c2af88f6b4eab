package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/pkg/accesslog"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/config"
	"sluice/pkg/metricset"
)

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestReloadLogs changes the level of the log, and turns the access log on, off
// and to a part.
func TestReloadLogs(t *testing.T) {
	t.Parallel()
	at, l4 := startEcho(t, "one"), freeAddrs(t, 1)[0]
	next := func(level string, access bool, sample int) *config.Config {
		c := read(t, map[string][]string{"l4": {l4 + "=web"}, "backend": {"web=" + at}})
		c.LogLevel, c.AccessLog, c.AccessLogSample = level, access, sample
		return c
	}
	var log, lines buffer
	var level slog.LevelVar
	sets := metricset.New()
	access := accesslog.New(accesslog.Config{Sinks: []accesslog.Sink{{Out: &lines}}, Metrics: sets.Main})
	defer access.Close(context.Background())
	c := next("warn", false, 1)
	e, err := New(Options{Config: c, Metrics: sets, Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: &level})), Level: &level, Access: access})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	e.Start()
	f := func(c *config.Config, want slog.Level, from, to int) {
		t.Helper()
		e.read = func() (*config.Config, error) { return c, nil }
		if _, err := e.Reload(); err != nil {
			t.Fatal(err)
		}
		before := strings.Count(lines.String(), "\n")
		for range 20 {
			if _, err := sayHello(l4); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the connections have ended", func() bool { return e.fronts.open() == 0 })
		if got := level.Level(); got != want {
			t.Errorf("unexpected level; got %v; want %v", got, want)
		}
		eventually(t, fmt.Sprintf("%d to %d lines are there", from, to), func() bool {
			n := strings.Count(lines.String(), "\n") - before
			return n >= from && n <= to
		})
	}
	f(next("debug", false, 1), slog.LevelDebug, 0, 0)
	f(next("info", true, 1), slog.LevelInfo, 20, 20)
	f(next("error", true, 10), slog.LevelError, 2, 2) // every tenth of twenty; all of them, lest one comes late
	f(next("warn", false, 1), slog.LevelWarn, 0, 0)
}

// TestReloadCertificates has a listener show another certificate, from another
// file and from the same one, while a connection that was made before goes on. A
// file that cannot be used changes nothing.
func TestReloadCertificates(t *testing.T) {
	t.Parallel()
	ca, dir := certificatetest.NewAuthority(t), t.TempDir()
	issue := func(name, host string) (keys string) {
		cert, key := ca.Issue(t, host)
		path := filepath.Join(dir, name)
		for suffix, b := range map[string][]byte{".crt": cert, ".key": key} {
			if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return fmt.Sprintf(",tls-cert=%s.crt,tls-key=%s.key", path, path)
	}
	first, second := issue("first", "a.example"), issue("second", "b.example")
	at, l4 := startEcho(t, "one"), freeAddrs(t, 1)[0]
	next := func(keys string) *config.Config {
		return read(t, map[string][]string{"l4": {l4 + "=web" + keys}, "backend": {"web=" + at}})
	}
	e := run(t, next(first))
	shown := func() string {
		c, err := tls.Dial("tcp", l4, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	open, err := tls.Dial("tcp", l4, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	echoed(t, open)
	f := func(read func() (*config.Config, error), want string) {
		t.Helper()
		e.read = read
		_, _ = e.Reload()
		if got := shown(); got != want {
			t.Errorf("unexpected certificate; got %s; want %s", got, want)
		}
		echoed(t, open)
	}
	f(func() (*config.Config, error) { return next(second), nil }, "b.example")
	issue("second", "c.example")
	f(func() (*config.Config, error) { return next(second), nil }, "c.example")
	broken := next(first)
	if err := os.WriteFile(filepath.Join(dir, "first.crt"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(func() (*config.Config, error) { return broken, nil }, "c.example")
	f(func() (*config.Config, error) { return nil, errors.New("it cannot be read") }, "c.example")
	if troubles := e.reloads.troubles(); len(troubles) != 1 || !strings.Contains(troubles[0], "it cannot be read") {
		t.Errorf("unexpected troubles: %v", troubles)
	}
}

// TestReloadKindOfListener has HTTP take the place of TCP at an address, and
// back: nobody is refused meanwhile.
func TestReloadKindOfListener(t *testing.T) {
	t.Parallel()
	at, addr := startEcho(t, "one"), freeAddrs(t, 1)[0]
	kinds := []map[string][]string{
		{"l4": {addr + "=web"}, "backend": {"web=" + at}},
		{"l7": {addr}, "route": {"/=web"}, "backend": {"web=" + at}},
	}
	e := run(t, read(t, kinds[0]))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got, err := ask("http://" + addr + "/"); err != nil || got != "one" {
				t.Errorf("unexpected answer: %s, %v", got, err)
				return
			}
		}
	}()
	for i := range 6 {
		c := read(t, kinds[(i+1)%2])
		e.read = func() (*config.Config, error) { return c, nil }
		if _, err := e.Reload(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // some more come
	}
	close(stop)
	<-done
}

// TestWatch tells of a file that has another content and stays so, however it
// came about, and of none that is as it was.
func TestWatch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	ctx, cancel := context.WithCancel(context.Background())
	changed, ended, first := make(chan string), make(chan struct{}), contentOf(path)
	go func() {
		defer close(ended)
		watch(ctx, path, first, time.Millisecond, func() {
			b, err := os.ReadFile(path)
			select {
			case changed <- fmt.Sprint(string(b), err == nil):
			case <-ctx.Done():
			}
		})
	}()
	defer func() { cancel(); <-ended }()
	want := func(text string) {
		t.Helper()
		select {
		case got := <-changed:
			if got != text {
				t.Errorf("unexpected content; got %q; want %q", got, text)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("nobody told of %q", text)
		}
	}
	put("one") // again
	put("two")
	want("twotrue")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("false")
	put("two")
	want("twotrue")
}
