package clienthello

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// wire is a connection of which one end exists: it keeps what is written and
// ends after in.
type wire struct {
	net.Conn
	in  bytes.Reader
	out bytes.Buffer
}

func (w *wire) Read(p []byte) (int, error)       { return w.in.Read(p) }
func (w *wire) Write(p []byte) (int, error)      { return w.out.Write(p) }
func (w *wire) Close() error                     { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// hello returns what a client of crypto/tls sends first.
func hello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	var w wire
	if err := tls.Client(&w, cfg).Handshake(); !errors.Is(err, io.EOF) {
		t.Fatalf("unexpected end of the handshake: %v", err)
	}
	return w.out.Bytes()
}

// fragments returns the same message in records of the given sizes, in turn.
func fragments(b []byte, sizes ...int) []byte {
	var message, out []byte
	for rest := b; len(rest) > 0; {
		n := int(binary.BigEndian.Uint16(rest[3:]))
		message = append(message, rest[sizeRecord:sizeRecord+n]...)
		rest = rest[sizeRecord+n:]
	}
	for i := 0; len(message) > 0; i++ {
		n := min(sizes[i%len(sizes)], len(message))
		out = binary.BigEndian.AppendUint16(append(out, recordHandshake, 3, 1), uint16(n))
		out = append(out, message[:n]...)
		message = message[n:]
	}
	return out
}

// accepts parses b whole, with bytes behind it, and byte by byte; of a long b
// it tries only some lengths, those around its ends among them.
func accepts(t *testing.T, b []byte, want Hello) {
	t.Helper()
	for _, behind := range []string{"", "\x14\x03\x03\x00\x01\x01", "GET", "\x16\x03\x01\x00\x01\x01"} {
		if h, err := Parse(append(bytes.Clone(b), behind...)); err != nil || h != want {
			t.Fatalf("unexpected result; got %+v, %v; want %+v", h, err, want)
		}
	}
	for i := range b {
		if i > 4096 && i < len(b)-64 && i%101 != 0 {
			continue
		}
		if h, err := Parse(b[:i]); !errors.Is(err, ErrShort) || h != (Hello{}) {
			t.Fatalf("unexpected result for %d of %d bytes; got %+v, %v; want ErrShort", i, len(b), h, err)
		}
	}
}

// acceptsFragmented does so for b in records of many sizes.
func acceptsFragmented(t *testing.T, b []byte, want Hello) {
	t.Helper()
	accepts(t, b, want)
	for _, sizes := range [][]int{{1}, {2}, {3}, {1, 3, 700, 5}, {4, 1000}, {5, 38, 1}, {517}, {1400, 1}, {maxFragment}} {
		if f := fragments(b, sizes...); len(f) <= MaxSize {
			accepts(t, f, want)
		}
	}
}

// refuses parses b as accepts does: nothing but ErrShort comes before want.
func refuses(t *testing.T, b []byte, want error) {
	t.Helper()
	if _, err := Parse(append(bytes.Clone(b), "\x16\x03\x01\x00\x01\x01"...)); err != want {
		t.Fatalf("unexpected error for %.80q and more; got %v; want %v", b, err, want)
	}
	final := false
	for i := range len(b) + 1 {
		if i > 4096 && i < len(b)-64 && i%101 != 0 {
			continue
		}
		h, err := Parse(b[:i])
		final = final || err == want
		if h != (Hello{}) || final && err != want || !final && !errors.Is(err, ErrShort) {
			t.Fatalf("unexpected result for %d bytes of %.80q; got %+v, %v; want ErrShort, then %v", i, b, h, err, want)
		}
	}
	if !final {
		t.Fatalf("unexpected lack of an error for %.80q; want %v", b, want)
	}
}

// TestRealHellos parses what crypto/tls sends.
func TestRealHellos(t *testing.T) {
	t.Parallel()
	f := func(cfg *tls.Config, least int, want Hello) {
		t.Helper()
		cfg.InsecureSkipVerify = true
		b := hello(t, cfg)
		if len(b) < least {
			t.Fatalf("unexpected size: %d; want %d at least", len(b), least)
		}
		acceptsFragmented(t, b, want)
	}
	const mlkem = 1184 + 32 // bytes of the key share
	f(&tls.Config{ServerName: "www.example.com", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, mlkem,
		Hello{ServerName: "www.example.com"})
	f(&tls.Config{ServerName: "www.example.com"}, mlkem, Hello{ServerName: "www.example.com"})
	f(&tls.Config{ServerName: "WWW.Example.COM."}, 0, Hello{ServerName: "www.example.com"})
	f(&tls.Config{ServerName: "www.example.com", CurvePreferences: []tls.CurveID{tls.X25519}}, 0,
		Hello{ServerName: "www.example.com"})
	f(&tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}}, mlkem,
		Hello{ServerName: "www.example.com"})
	f(&tls.Config{NextProtos: []string{strings.Repeat("x", 255)}}, mlkem,
		Hello{})
	f(&tls.Config{}, mlkem, Hello{})
	f(&tls.Config{ServerName: "192.0.2.1"}, mlkem, Hello{})
	f(&tls.Config{ServerName: "a_b.xn--bcher-kva.example", MaxVersion: tls.VersionTLS12}, 0,
		Hello{ServerName: "a_b.xn--bcher-kva.example"})
	f(&tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, 0,
		Hello{ServerName: "localhost"})
}

// TestSessionTicket parses a ClientHello that does not fit one record: the
// client resumes a session whose ticket is that long.
func TestSessionTicket(t *testing.T) {
	t.Parallel()
	const size = 40_000
	ticket := make([]byte, size)
	_, _ = rand.Read(ticket)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	server := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
		WrapSession:  func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return ticket, nil },
	}
	client := &tls.Config{ServerName: "example.com", RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	// Not net.Pipe: the server sends the ticket before it reads the client's
	// last message.
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			defer c.Close()
			_, err = c.Write([]byte("x"))
		}
		done <- err
	}()
	c, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	long := hello(t, client)
	if len(long) < size || bytes.Count(long, []byte{recordHandshake, 3, 1, 0x40, 0}) < 2 {
		t.Fatalf("unexpected ClientHello of %d bytes; want several records", len(long))
	}
	want := Hello{ServerName: "example.com"}
	acceptsFragmented(t, long, want)
	// In records of a byte each it is larger than MaxSize.
	if _, err := Parse(fragments(long, 1)); err != errLarge {
		t.Fatalf("unexpected error; got %v; want %v", err, errLarge)
	}
}

// TestEncryptedClientHello finds the outer name.
func TestEncryptedClientHello(t *testing.T) {
	t.Parallel()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const outer = "public.example"
	config := append([]byte{1, 0, 0x20}, vector(2, key.PublicKey().Bytes())...)
	config = append(config, vector(2, []byte{0, 1, 0, 1})...)
	config = append(append(append(config, 0), vector(1, []byte(outer))...), 0, 0)
	list := vector(2, append([]byte{0xfe, 0x0d}, vector(2, config)...))
	b := hello(t, &tls.Config{ServerName: "secret.example", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: list})
	if bytes.Contains(b, []byte("secret")) {
		t.Fatal("the inner name is not encrypted")
	}
	acceptsFragmented(t, b, Hello{ServerName: outer})
}

// vector returns b after its length, which takes width bytes.
func vector(width int, b []byte) []byte {
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(b)))
	return append(length[4-width:], b...)
}

// extension returns one, with the values as its body.
func extension(kind uint16, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, kind), vector(2, body)...)
}

// names returns server_name with host names.
func names(hosts ...string) []byte {
	var list []byte
	for _, h := range hosts {
		list = append(append(list, 0), vector(2, []byte(h))...)
	}
	return extension(extServerName, vector(2, list))
}

// raw returns a ClientHello in one record; without extensions if there are
// none.
func raw(extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, sizeRandom)...)
	body = append(append(body, vector(1, make([]byte, 32))...), vector(2, []byte{0x13, 1})...)
	body = append(body, vector(1, []byte{0})...)
	if extensions != nil {
		body = append(body, vector(2, slices.Concat(extensions...))...)
	}
	return record1(append([]byte{typeClientHello}, vector(3, body)...))
}

// record1 returns a record that holds b.
func record1(b []byte) []byte {
	return append([]byte{recordHandshake, 3, 1}, vector(2, b)...)
}

func TestParseSuccess(t *testing.T) {
	t.Parallel()
	f := func(b []byte, name string) {
		t.Helper()
		acceptsFragmented(t, b, Hello{ServerName: name})
	}
	name := func(sent, want string) {
		t.Helper()
		f(raw(names(sent)), want)
	}
	f(raw(), "")
	f(raw([]byte{}), "")
	name("a", "a")
	name("A.b-C.xn--BCHER-kva", "a.b-c.xn--bcher-kva")
	name("_x.-y.3com.9", "_x.-y.3com.9")
	name("a.example.", "a.example")
	name("1.2.3.4", "")
	name("1.2.3.4.", "")
	name("1.2.3", "1.2.3")
	name("1.2.3.256", "1.2.3.256")
	name("::1", "")
	name("2001:DB8::1", "")
	label := strings.Repeat("x", maxLabel)
	name(label+"."+label, label+"."+label)
	longest := strings.Repeat(label+".", 3) + label[:61]
	name(longest, longest)
	name(longest+".", longest)

	// A name of another type, which begins with its length, is passed over.
	other := vector(2, append([]byte{7}, vector(2, []byte("other"))...))
	f(raw(extension(extServerName, other)), "")
	f(raw(extension(extServerName, vector(2, append(other[2:], append([]byte{0}, vector(2, []byte("host"))...)...)))), "host")

	// Unknown extensions are passed over, even twice: GREASE, padding.
	f(raw(extension(0x0a0a, nil), extension(0x0a0a, []byte{0}), extension(21, make([]byte, 400)), names("h")), "h")

	// The version of a record tells nothing; that of the message may be any.
	b := raw(names("h"))
	b[2] = 9
	accepts(t, b, Hello{ServerName: "h"})
	b[sizeRecord+sizeHandshake+1] = 1
	accepts(t, b, Hello{ServerName: "h"})
	b[sizeRecord+sizeHandshake] = 0x7f
	accepts(t, b, Hello{ServerName: "h"})

	// MaxSize counts the headers of the records.
	for _, size := range []int{MaxSize - 20, MaxSize} {
		b := padded(t, size)
		if h, err := Parse(b); err != nil || h.ServerName != "h" {
			t.Fatalf("unexpected result for %d bytes; got %+v, %v", size, h, err)
		}
		for _, n := range []int{size - 1, size - maxFragment, size / 2, 20_000, 9} {
			if _, err := Parse(b[:n]); !errors.Is(err, ErrShort) {
				t.Fatalf("unexpected error for %d of %d bytes; got %v; want ErrShort", n, size, err)
			}
		}
	}
}

// padded returns a ClientHello for "h" in four or five records that take size
// bytes.
func padded(t *testing.T, size int) []byte {
	t.Helper()
	padding := []byte{}
	for {
		message := raw(names("h"), extension(21, padding[:min(len(padding), 40_000)]), extension(22, padding[min(len(padding), 40_000):]))[sizeRecord:]
		var out []byte
		for rest := message; len(rest) > 0; {
			n := min(len(rest), maxFragment)
			out = append(out, record1(rest[:n])...)
			rest = rest[n:]
		}
		if len(out) == size {
			return out
		}
		if len(out) > size {
			t.Fatalf("cannot make a ClientHello of %d bytes", size)
		}
		padding = make([]byte, len(padding)+max(1, size-len(out)-30))
	}
}

func TestParseFailure(t *testing.T) {
	t.Parallel()
	f := func(b []byte, want Malformed) {
		t.Helper()
		refuses(t, b, want)
		if want != errRecord && want != errLarge {
			refuses(t, fragments(b, 1), want)
			refuses(t, fragments(b, 3, 50), want)
		}
	}
	// Other messages: a ServerHello, a HelloRequest.
	f(record1([]byte{2, 0, 0, 1, 0}), errType)
	f(record1([]byte{0, 0, 0, 0}), errType)
	// Records within the message that are empty, too long or something else.
	whole := raw(names("h"))
	f(append(fragments(whole, 10)[:15], recordHandshake, 3, 1, 0, 0), errRecord)
	f(append(fragments(whole, 10)[:15], recordHandshake, 3, 1, 0x40, 1), errRecord)
	f(append(fragments(whole, 10)[:15], recordHandshake, 2), errRecord)
	f(append(fragments(whole, 10)[:15], 20), errRecord)
	f(append(fragments(whole, 2)[:7], 21), errRecord)
	// Too large: by its own length, known at once, or with its records.
	f(record1([]byte{typeClientHello, 1, 0, 0}), errLarge)
	f(record1([]byte{typeClientHello, 0, 0xff, 0xf8}), errLarge)
	if _, err := Parse(record1([]byte{typeClientHello, 0, 0xff, 0xf7})); !errors.Is(err, ErrShort) {
		t.Fatalf("unexpected error: %v", err)
	}
	many := bytes.Repeat(record1([]byte{typeClientHello}), MaxSize/6+1) // its length is 0x010101
	f(many, errLarge)
	many = append(record1([]byte{typeClientHello, 0, 0x40, 0}), bytes.Repeat(record1([]byte{0}), MaxSize/6)...)
	if _, err := Parse(many[:MaxSize-1]); !errors.Is(err, ErrShort) {
		t.Fatalf("unexpected error: %v", err)
	}
	if _, err := Parse(many[:MaxSize]); err != errLarge {
		t.Fatalf("unexpected error: %v", err)
	}

	// Frames: every beginning of a message that says it is the whole.
	message := whole[sizeRecord+sizeHandshake:]
	bare := len(raw()) - sizeRecord - sizeHandshake // complete, without extensions
	for n := range len(message) {
		b := record1(append([]byte{typeClientHello}, vector(3, message[:n])...))
		if n == bare {
			accepts(t, b, Hello{})
		} else {
			f(b, errFrame)
		}
	}
	f(record1(append([]byte{typeClientHello}, vector(3, append(bytes.Clone(message), 0))...)), errFrame)
	const session = sizeRecord + sizeHandshake + 2 + sizeRandom
	with := func(at int, v byte) []byte {
		b := bytes.Clone(whole)
		b[at] = v
		return b
	}
	f(with(session, 33), errFrame)
	f(with(session+34, 0), errFrame)      // no cipher suites
	f(with(session+34, 1), errFrame)      // half a suite
	f(with(session+34, 3), errFrame)      // one and a half
	f(with(session+37, 0), errFrame)      // no compression methods
	f(raw([]byte{0}), errFrame)           // half an extension
	f(raw([]byte{0, 99, 0, 1}), errFrame) // one longer than the list
	f(raw(extension(99, nil), []byte{0, 99, 0}), errFrame)
	f(raw(names("a"), names("a")), errDuplicate)
	f(raw(names("a"), extension(extServerName, nil)), errDuplicate) // whatever is in it

	f(raw(extension(extServerName, nil)), errServerName)
	f(raw(extension(extServerName, []byte{0})), errServerName)
	f(raw(names()), errServerName)
	f(raw(names("")), errServerName)
	f(raw(names("a", "b")), errServerName)
	f(raw(names("1.2.3.4", "b")), errServerName)
	f(raw(extension(extServerName, []byte{0, 4, 0, 0, 1, 'a', 0})), errServerName)
	f(raw(extension(extServerName, []byte{0, 5, 0, 0, 1, 'a'})), errServerName)
	f(raw(extension(extServerName, []byte{0, 4, 0, 0, 2, 'a'})), errServerName)
	f(raw(extension(extServerName, []byte{0, 1, 0})), errServerName)
	f(raw(extension(extServerName, []byte{0, 3, 1, 0, 0})), errServerName)

	label := strings.Repeat("x", maxLabel)
	for _, name := range []string{
		".", "..", "a..", "a..b", ".a", "a b", "a\x00", "\x00", "a\x00.example.com", "a/b", "a@b", "*", "*.a", "b\xfccher.example", "bücher.example",
		"a:80", "[::1]", "fe80::1%", "http://a", label + "x", "a." + label + "x.b", strings.Repeat(label+".", 3) + label[:62],
		strings.Repeat(label+".", 3) + label[:62] + ".", strings.Repeat("a.", 128), strings.Repeat("a.", 2000),
	} {
		f(raw(names(name)), errName)
	}
}

// alpn returns the extension with the protocols.
func alpn(protocols ...string) []byte {
	var list []byte
	for _, p := range protocols {
		list = append(list, vector(1, []byte(p))...)
	}
	return extension(16, vector(2, list))
}

// TestNotTLS shows that other protocols are known by their first bytes.
func TestNotTLS(t *testing.T) {
	t.Parallel()
	f := func(b string, at int) {
		t.Helper()
		refuses(t, []byte(b), ErrNotTLS)
		if _, err := Parse([]byte(b[:at-1])); !errors.Is(err, ErrShort) {
			t.Fatalf("unexpected error for %q; got %v; want ErrShort", b[:at-1], err)
		}
		if _, err := Parse([]byte(b[:at])); !errors.Is(err, ErrNotTLS) {
			t.Fatalf("unexpected error for %q; got %v; want ErrNotTLS", b[:at], err)
		}
	}
	f("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 1)
	f("SSH-2.0-OpenSSH_9.9\r\n", 1)
	f("PROXY TCP4 ", 1)
	f("\r\n\r\n\x00\r\nQUIT\n", 1)
	f("\x00\x00\x00\x08\x04\xd2\x16\x2f", 1)         // PostgreSQL's SSLRequest
	f("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00", 1) // SSL 2.0's ClientHello
	f("\x15\x03\x01\x00\x02\x02\x28", 1)             // an alert
	f("\x17\x03\x03\x00\x10", 1)                     // data
	f("\x16\xfe\xff\x00\x00", 2)                     // DTLS
	f("\x16\x02\x00\x00\x10", 2)
	f("\x16\x03\x01\x00\x00", 5)
	f("\x16\x03\x01\x40\x01\x01", 5)
	if (ErrShort == ErrNotTLS) || errors.Is(Malformed("x"), ErrNotTLS) {
		t.Fatal("unexpected equality of errors")
	}
	if s := errName.Error(); s != "clienthello: malformed: the server's name is not one of DNS" {
		t.Fatalf("unexpected text: %q", s)
	}
}

// TestHelloIsACopy writes over the bytes that were parsed.
func TestHelloIsACopy(t *testing.T) {
	t.Parallel()
	b := raw(names("example.com"), alpn("h2", "http/1.1"))
	before := bytes.Clone(b)
	h, err := Parse(b)
	if err != nil || !bytes.Equal(b, before) {
		t.Fatalf("unexpected result: %v", err)
	}
	clear(b)
	if want := (Hello{ServerName: "example.com"}); h != want {
		t.Fatalf("unexpected result; got %+v; want %+v", h, want)
	}
}

// errSeen ends a handshake after its ClientHello.
var errSeen = errors.New("seen")

// oracle returns what crypto/tls makes of b as a server.
func oracle(b []byte) (info *tls.ClientHelloInfo) {
	w := &wire{in: *bytes.NewReader(b)}
	_ = tls.Server(w, &tls.Config{MinVersion: tls.VersionTLS10, GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		info = i
		return nil, errSeen
	}}).HandshakeContext(context.Background())
	return info
}

func FuzzParse(f *testing.F) {
	f.Add(hello(f, &tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2"}}), uint8(1), uint8(7))
	f.Add(hello(f, &tls.Config{ServerName: "a.example", CurvePreferences: []tls.CurveID{tls.X25519}}), uint8(3), uint8(200))
	f.Add(raw(), uint8(1), uint8(1))
	f.Add(raw(names("Example.com."), alpn("a", "b"), extension(43, []byte{4, 0xfa, 0xfa, 3, 4})), uint8(9), uint8(90))
	f.Add(fragments(raw(names("1.2.3.4")), 1), uint8(1), uint8(1))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, size1, size2 uint8) {
		h, err := Parse(b)
		var m Malformed
		switch {
		case errors.Is(err, ErrShort):
			if len(b) >= MaxSize {
				t.Fatalf("unexpected ErrShort for %d bytes", len(b))
			}
			return
		case err != nil:
			if h != (Hello{}) || errors.Is(err, ErrNotTLS) == errors.As(err, &m) {
				t.Fatalf("unexpected result: %+v, %v", h, err)
			}
			if _, again := Parse(append(bytes.Clone(b), 0)); again != err {
				t.Fatalf("unexpected error with more bytes; got %v; want %v", again, err)
			}
			return
		}
		if info := oracle(b); info != nil {
			name := strings.ToLower(info.ServerName)
			if name != h.ServerName && net.ParseIP(name) == nil {
				t.Fatalf("unexpected name; got %q; want %q", h.ServerName, info.ServerName)
			}
		}
		if pattern, err := ParsePattern(h.ServerName); h.ServerName != "" && (err != nil || pattern != h.ServerName) {
			t.Fatalf("unexpected pattern for %q: %q, %v", h.ServerName, pattern, err)
		}
		// The records do not matter, nor does what follows the message.
		size, err := measure(b)
		if err != nil {
			t.Fatal(err)
		}
		message := make([]byte, size)
		r := reader{b: b, n: size}
		r.take(message, size)
		var again []byte
		for i := 0; len(message) > 0; i++ {
			n := min([]int{int(size1) + 1, int(size2) + 1}[i%2], len(message))
			again = append(again, record1(message[:n])...)
			message = message[n:]
		}
		if len(again) > MaxSize {
			return
		}
		if h2, err := Parse(again); err != nil || h != h2 {
			t.Fatalf("unexpected result in other records; got %+v, %v; want %+v", h2, err, h)
		}
		if _, err := Parse(again[:len(again)-1]); !errors.Is(err, ErrShort) {
			t.Fatalf("unexpected error for all but the last byte: %v", err)
		}
	})
}

// TestOpenSSL parses a ClientHello of OpenSSL 3.0 (s_client -servername
// OpenSSL.example -alpn h2,http/1.1).
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	b, err := hex.DecodeString(openSSL)
	if err != nil {
		t.Fatal(err)
	}
	acceptsFragmented(t, b, Hello{ServerName: "openssl.example"})
}

func BenchmarkParse(b *testing.B) {
	whole := hello(b, &tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}})
	for _, size := range []int{maxFragment, 517, 1} {
		in := fragments(whole, size)
		b.Run(fmt.Sprintf("records=%d", (len(in)-len(whole))/sizeRecord+1), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
