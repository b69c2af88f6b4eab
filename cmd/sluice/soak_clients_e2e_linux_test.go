package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// errCorrupt is what no fault excuses: bytes that are not those that were sent.
var errCorrupt = errors.New("corrupt")

// errRefused is an answer that says that there is nobody to serve a request.
var errRefused = errors.New("refused")

// stream returns the bytes that a seed stands for.
func stream(seed uint64, size int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

// ramp yields what echo answers to /bytes/N.
type ramp struct{ at int }

func (r *ramp) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte((r.at + i) % 251)
	}
	r.at = (r.at + len(p)) % 251
	return len(p), nil
}

// compared fails when what is written to it is not what want yields.
type compared struct {
	want io.Reader
	n    int64
	buf  []byte
}

func (c *compared) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	n, _ := io.ReadFull(c.want, c.buf[:len(p)])
	if n < len(p) || !bytes.Equal(c.buf[:n], p) {
		return 0, fmt.Errorf("%w: %d bytes from byte %d on differ", errCorrupt, len(p), c.n)
	}
	c.n += int64(n)
	return n, nil
}

// soakClients is what clients do to a sluice, all of it at once.
type soakClients struct {
	l4, l4TLS, few, rough, l7, l7TLS, tagged string
	tls, l4Secure                            *tls.Config // l4Secure is nil if l4TLS has none
	kept, fresh                              *http.Client

	mu     sync.Mutex
	counts map[string]map[string]int // by kind and outcome
	wrong  []error                   // what no fault excuses
}

func newSoakClients(roots *x509.CertPool) *soakClients {
	s := &soakClients{tls: &tls.Config{RootCAs: roots, ServerName: "a.example"}, counts: make(map[string]map[string]int)}
	s.kept = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: s.tls, MaxIdleConnsPerHost: 8}}
	s.fresh = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: s.tls, DisableKeepAlives: true}}
	return s
}

// soakKinds are the kinds of clients. Those that are exact get what they ask
// for once there are no faults.
var soakKinds = []struct {
	name  string
	exact bool
	do    func(*soakClients, chaos) error
}{
	{"tcp", true, func(s *soakClients, c chaos) error { return s.echo(c, s.l4, nil, 0, false) }},
	{"tcp over TLS", true, func(s *soakClients, c chaos) error { return s.echo(c, s.l4TLS, s.l4Secure, 0, false) }},
	{"tcp by a tag", true, func(s *soakClients, c chaos) error { return s.echo(c, s.tagged, nil, 0, false) }},
	{"tcp, drips", true, func(s *soakClients, c chaos) error { return s.echo(c, s.l4, nil, 0, true) }},
	{"tcp, resets", false, func(s *soakClients, c chaos) error {
		return s.echo(c, s.l4, nil, c.within(100*time.Millisecond), c.IntN(2) == 0)
	}},
	{"tcp over TLS, resets", false, func(s *soakClients, c chaos) error {
		return s.echo(c, s.l4TLS, s.l4Secure, c.within(100*time.Millisecond), false)
	}},
	{"tcp, backend resets", false, func(s *soakClients, c chaos) error { return s.poke(c, s.rough, "hello") }},
	{"tcp, queue full", false, func(s *soakClients, c chaos) error { return s.crowd(c, true) }},
	{"garbage", false, func(s *soakClients, c chaos) error {
		return s.poke(c, one(c, s.l4, s.l4TLS, s.few, s.rough, s.l7, s.l7TLS), string(c.request()))
	}},
	{"get", true, func(s *soakClients, c chaos) error { return s.get(c, "http://"+s.l7, 0) }},
	{"get over TLS", true, func(s *soakClients, c chaos) error { return s.get(c, "https://"+s.l7TLS, 0) }},
	{"get, resets", false, func(s *soakClients, c chaos) error {
		return s.get(c, one(c, "http://"+s.l7, "https://"+s.l7TLS), c.within(100*time.Millisecond))
	}},
	{"get, stalls", false, func(s *soakClients, c chaos) error {
		return s.poke(c, s.l7, "GET /bytes/50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
	}},
	{"post", true, func(s *soakClients, c chaos) error { return s.post(c, "http://"+s.l7, 0) }},
	{"post over TLS", true, func(s *soakClients, c chaos) error { return s.post(c, "https://"+s.l7TLS, 0) }},
	{"post, resets", false, func(s *soakClients, c chaos) error {
		return s.post(c, one(c, "http://"+s.l7, "https://"+s.l7TLS), c.within(100*time.Millisecond))
	}},
	{"pipeline", true, func(s *soakClients, c chaos) error { return s.pipeline(c) }},
	{"upgrade", true, func(s *soakClients, c chaos) error { return s.upgrade(c, 0) }},
	{"upgrade, resets", false, func(s *soakClients, c chaos) error { return s.upgrade(c, c.within(100*time.Millisecond)) }},
	{"http, backend resets", false, func(s *soakClients, c chaos) error {
		return s.poke(c, s.l7, one(c, "GET", "POST")+" /"+one(c, "", "junk", "file", "dns", "tagged")+" HTTP/1.1\r\nHost: rough.example\r\nContent-Length: 3\r\n\r\nabc")
	}},
	{"http, sources of garbage", false, func(s *soakClients, c chaos) error {
		return s.poke(c, s.l7, "GET /"+one(c, "junk", "file", "dns", "tagged")+" HTTP/1.1\r\nHost: x\r\n\r\n")
	}},
	{"http, queue full", false, func(s *soakClients, c chaos) error { return s.crowd(c, false) }},
}

func (c chaos) within(d time.Duration) time.Duration { return 1 + time.Duration(c.Int64N(int64(d))) }

// size is mostly small.
func (c chaos) size() int64 {
	return 1 + c.Int64N(one[int64](c, 10, 1_000, 1_000, 50_000, 50_000, 500_000, 5_000_000))
}

// work does one thing after another until stop is closed.
func (s *soakClients) work(seed, id uint64, stop <-chan struct{}) {
	c := chaos{rand.New(rand.NewPCG(seed, id))}
	for {
		select {
		case <-stop:
			return
		default:
		}
		k := soakKinds[c.IntN(len(soakKinds))]
		s.count(k.name, k.do(s, c))
	}
}

func (s *soakClients) count(kind string, err error) {
	outcome := "done"
	switch invalid := (x509.CertificateInvalidError{}); {
	case errors.Is(err, errCorrupt), errors.As(err, &invalid), errors.As(err, new(x509.UnknownAuthorityError)):
		outcome = "wrong"
	case errors.Is(err, errRefused):
		outcome = "refused"
	case err != nil:
		outcome = "failed"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[kind] == nil {
		s.counts[kind] = make(map[string]int)
	}
	s.counts[kind][outcome]++
	if outcome == "wrong" && len(s.wrong) < 20 {
		s.wrong = append(s.wrong, fmt.Errorf("%s at %s: %w", kind, time.Now().Format(time.StampMilli), err))
	}
}

func (s *soakClients) closeIdle() { s.kept.CloseIdleConnections() }

// dial connects, with TLS unless cfg is nil. abort resets the connection.
func (s *soakClients) dial(addr string, cfg *tls.Config) (conn net.Conn, abort func(), err error) {
	tcp, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return nil, nil, err
	}
	_ = tcp.SetDeadline(time.Now().Add(20 * time.Second))
	abort = func() {
		_ = tcp.(*net.TCPConn).SetLinger(0)
		tcp.Close()
	}
	if cfg == nil {
		return tcp, abort, nil
	}
	secure := tls.Client(tcp, cfg)
	if err := secure.Handshake(); err != nil {
		tcp.Close()
		return nil, nil, err
	}
	return secure, abort, nil
}

// exchange sends what seed stands for, closes its half and expects all of it
// back. after an interval that is not 0 it resets the connection. It sends in
// drips if it is told to.
func (s *soakClients) exchange(c chaos, conn net.Conn, r io.Reader, abort func(), after time.Duration, drip bool) error {
	size, seed := c.size(), c.Uint64()
	if drip {
		size = 1 + c.Int64N(100)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.Close()
	if after != 0 {
		defer time.AfterFunc(after, abort).Stop()
	}
	wg.Go(func() {
		src := stream(seed, size)
		if drip {
			src = dripping{src}
		}
		// A failure is one of reading, too.
		if _, err := io.Copy(conn, src); err == nil {
			_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		}
	})
	want := &compared{want: stream(seed, size)}
	if _, err := io.Copy(want, r); err != nil {
		return err
	}
	if want.n < size {
		return fmt.Errorf("got %d bytes of %d", want.n, size)
	}
	return nil
}

// dripping yields little at a time.
type dripping struct{ io.Reader }

func (d dripping) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return d.Reader.Read(p[:min(len(p), 3)])
}

func (s *soakClients) echo(c chaos, addr string, cfg *tls.Config, after time.Duration, drip bool) error {
	conn, abort, err := s.dial(addr, cfg)
	if err != nil {
		return err
	}
	return s.exchange(c, conn, conn, abort, after, drip)
}

// poke sends something, reads for a moment or not at all, and goes in one of
// the ways in which clients go.
func (s *soakClients) poke(c chaos, addr, text string) error {
	conn, abort, err := s.dial(addr, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(c.within(500 * time.Millisecond)))
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	switch c.IntN(5) {
	case 0:
		abort()
	case 1:
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn) // the deadline is one of the ends
	case 2:
		time.Sleep(c.within(500 * time.Millisecond))
		abort()
	case 3:
		_, _ = io.Copy(io.Discard, conn)
		abort()
	case 4:
		_, _ = conn.Read(make([]byte, 4096))
	}
	return nil
}
