package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/pkg/certificate/certificatetest"
)

// howLong returns what an environment variable says of how long a test goes on.
func howLong(t *testing.T, variable string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return d
}

// oddTexts are names, tags, addresses and the like that somebody may think of.
var oddTexts = []string{
	"", " ", "a", "web", "db", "über", "a b", "a\nb", "\x00", "\x7f", "\u202e", "\xff\xfe", `a"b`, `a\`, `a\"`, "{}", "a{b=\"c\"}", "a,b", "a=b",
	"%s%n", "../..", "a/b", "a?b#c", ":", ":-1", ":99999", "[::1", "*", "*.", ".", strings.Repeat("x", 5000), "sluice", "127.0.0.1", "::1",
	"localhost", "256.1.1.1", "0.0.0.0", "1e9", "NaN", "-0", "tcp", "http:/%zz", "none", "http:", "$host", "${DC}",
}

// chaos makes things up. It is used by one goroutine.
type chaos struct{ *rand.Rand }

func (c chaos) text() string { return oddTexts[c.IntN(len(oddTexts))] }

// one returns one of several values.
func one[T any](c chaos, all ...T) T { return all[c.IntN(len(all))] }

// mutate changes some bytes of b, or cuts it.
func (c chaos) mutate(b []byte) []byte {
	b = slices.Clone(b)
	if len(b) == 0 {
		return b
	}
	switch c.IntN(4) {
	case 0:
		return b[:c.IntN(len(b))]
	case 1:
		i := c.IntN(len(b))
		return slices.Insert(b, i, []byte(c.text())...)
	}
	for range 1 + c.IntN(8) {
		b[c.IntN(len(b))] = byte(c.Uint32())
	}
	return b
}

func (c chaos) response() []byte {
	r := one(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
		"HTTP/1.1 999 X\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc", "")
	if c.IntN(2) == 0 {
		return c.mutate([]byte(r))
	}
	return []byte(r)
}

func (c chaos) request() []byte {
	r := one(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", "PUT /r HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET / HTTP/1.0\r\n\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x01\x01\x01\x02\x02\x02\x02\x00\x01\x00\x02x", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "")
	if c.IntN(2) == 0 {
		return c.mutate([]byte(r))
	}
	return []byte(r)
}

// TestGarbage feeds every source of members, of certificates and of bytes with
// what is broken or made up. Whatever it is, sluice lives, nothing in it
// panics, and once the sources are sane it does what they say.
func TestGarbage(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	_, addrs := startEchos(t, 1)
	registry := &garbageConsul{web: addrs[0]}
	registry.seed.Store(seed)
	for range 4 {
		registry.addrs = append(registry.addrs, freeAddr(t))
	}
	agent := httptest.NewServer(registry)
	defer agent.Close()
	agent.Config.ErrorLog = nil

	dir := t.TempDir()
	list, certs := filepath.Join(dir, "list.yaml"), filepath.Join(dir, "certs")
	if err := os.Mkdir(certs, 0o700); err != nil {
		t.Fatal(err)
	}
	authority := certificatetest.NewAuthority(t)
	cert, key := authority.Issue(t, "a.example")
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Error(err)
		}
	}
	write(filepath.Join(certs, "a.crt"), cert)
	write(filepath.Join(certs, "a.key"), key)

	for _, driver := range []string{"epoll", "copy"} {
		t.Run(driver, func(t *testing.T) {
			for _, name := range []string{"b.crt", "b.key", "c.pem", "ca.crt", "x"} {
				_ = os.Remove(filepath.Join(certs, name)) // of the run before
			}
			args := []string{
				"--consul=" + agent.Listener.Addr().String(), "--consul-tags=urlprefix-", "--consul-keep=1s", "--l4-driver=" + driver, "--admin=127.0.0.1:0", "--drain-delay=0s", "--drain-timeout=2s",
				"--l4=127.0.0.1:0=web,proxy-in=v1v2", "--l7=127.0.0.1:0", "--l7=127.0.0.1:0,tls-cert=" + certs, "--route=/fixed=dns", "--route=/file=file", "--access-log", "--log-level=debug",
				"--service=pg,tls=skip-verify", "--service=dns,dns=x.example:80", "--service=file,file=" + list, "--dns-server=" + garbageDNS(t, seed, &registry.sane), "--dns-min-ttl=10ms", "--dns-keep=0s",
				"--backend=web=" + garbageBackend(t, seed), "--backend-drain-timeout=100ms", "--health-interval=50ms",
			}
			registry.sane.Store(false)
			s := start(t, "sluice", nil, args...)
			admin := s.addr("admin")
			eventually(t, "it has started", func() bool { return strings.Contains(s.text(), `"msg":"started"`) })
			var targets []string
			plain := "" // the first HTTP listener, the one without TLS
			for _, line := range strings.Split(s.text(), "\n") {
				kind, addr := parseListening(line)
				if addr != "" && kind != "admin" {
					targets = append(targets, addr)
				}
				if plain == "" && kind == "l7" {
					plain = addr
				}
			}
			end := time.Now().Add(howLong(t, "SLUICE_GARBAGE_TIME", 5*time.Second) / 2)
			lives := func() bool {
				select {
				case <-s.done:
					return false
				default:
					return time.Now().Before(end)
				}
			}
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					c := chaos{rand.New(rand.NewPCG(seed, 1000+uint64(i)))}
					for lives() {
						addr := one(c, append(slices.Clone(targets), registry.addrs...)...)
						conn, err := net.DialTimeout("tcp", addr, time.Second)
						if err != nil {
							continue
						}
						_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
						_, _ = conn.Write(bytes.Repeat(c.request(), 1+c.IntN(3)))
						if c.IntN(2) == 0 {
							_, _ = io.Copy(io.Discard, conn)
						} else {
							_ = conn.(*net.TCPConn).SetLinger(0)
						}
						conn.Close()
					}
				})
			}
			c := chaos{rand.New(rand.NewPCG(seed, 2))}
			for lives() {
				text := one(c, "[]", "- "+addrs[0]+"\n", "- {addr: \"127.0.0.1:9\", weight: 3, zone: b, check: \"http:/\"}\n", "- {addr: 1, tags: [v1]}\n", c.text())
				write(list, c.mutate([]byte(text)))
				junk := one(c, cert, key, c.mutate(cert), c.mutate(key), []byte(c.text()))
				write(filepath.Join(certs, one(c, "b.crt", "b.key", "c.pem", "ca.crt", "x")), junk)
				for _, path := range []string{"/metrics", "/readyz", "/admin/backends", "/admin/config"} {
					if status, body := get("http://" + admin + path); status == 0 && lives() {
						t.Errorf("no answer to %s: %s", path, body)
					}
				}
				time.Sleep(20 * time.Millisecond)
			}
			wg.Wait()
			registry.sane.Store(true)
			eventually(t, "what is sane is followed", func() bool {
				select {
				case <-s.done:
					t.Fatalf("sluice has ended: %v", s.cmd.ProcessState)
				default:
				}
				req, err := http.NewRequest("GET", "http://"+plain+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = "sane.example"
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return false
				}
				resp.Body.Close()
				return resp.StatusCode == http.StatusOK
			})
			s.signal(syscall.SIGTERM)
			if code := s.wait(); code != exitOK {
				t.Errorf("unexpected exit code %d", code)
			}
			for _, word := range []string{"panic", "goroutine ", "BUG"} {
				if i := strings.Index(s.text(), word); i >= 0 {
					t.Errorf("the log tells of a %s: %.2000s", word, s.text()[i:])
				}
			}
		})
	}
}
