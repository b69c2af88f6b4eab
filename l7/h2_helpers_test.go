package l7

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sluice/pkg/certificate"
	"sluice/pkg/certificate/certificatetest"
	"sluice/pkg/listen"
)

// newClearFront is newFront for a listener that speaks HTTP/2 without TLS.
func newClearFront(t *testing.T, edit func(*Config), backends ...string) *front {
	t.Helper()
	onlyLoop(t)
	return newFrontOn(t, listen.Config{}, func(c *Config) {
		c.HTTP2.Clear = true
		if edit != nil {
			edit(c)
		}
	}, backends...)
}

// onlyLoop skips a test of what one driver does alone.
func onlyLoop(t *testing.T) {
	if driverOf(t).name != "loop" {
		t.Skip("HTTP/2 is spoken in event loops alone")
	}
}

// client2 returns a client that speaks HTTP/2 without TLS.
func (f *front) client2() *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetUnencryptedHTTP2(true)
	f.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// framer is a client of HTTP/2 that says what a test has it say.
type framer struct {
	*http2.Framer
	t   *testing.T
	c   net.Conn
	dec *hpack.Decoder
}

// framer opens a connection of HTTP/2. The settings of both sides are sent.
func (f *front) framer(settings ...http2.Setting) *framer {
	f.t.Helper()
	c := f.raw()
	c.write(http2.ClientPreface)
	fr := newFramer(f.t, c)
	fr.ok(fr.WriteSettings(settings...))
	return fr
}

func newFramer(t *testing.T, c net.Conn) *framer {
	fr := &framer{Framer: http2.NewFramer(c, c), t: t, c: c, dec: hpack.NewDecoder(4096, nil)}
	fr.AllowIllegalWrites, fr.AllowIllegalReads = true, true
	return fr
}

func (fr *framer) ok(err error) {
	fr.t.Helper()
	if err != nil {
		fr.t.Fatalf("cannot write a frame: %v", err)
	}
}

// block returns a header block of names and values in turn.
func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// get2 are the pseudo fields of a GET.
func get2(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", path}, more...)
}

// post2 are those of a POST.
func post2(path string, more ...string) []string {
	fields := get2(path, more...)
	fields[1] = "POST"
	return fields
}

// open opens a stream.
func (fr *framer) open(id uint32, end bool, fields ...string) {
	fr.t.Helper()
	fr.ok(fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(fields...), EndStream: end, EndHeaders: true}))
}

// fieldLines are the fields of a block by their names, as they came.
type fieldLines map[string][]string

// get returns the first value of a field, or nothing.
func (f fieldLines) get(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// answer2 is what a stream has come to.
type answer2 struct {
	heads   []fieldLines // interim ones, the final one, trailers
	status  string
	body    string
	ended   bool          // by END_STREAM
	reset   http2.ErrCode // or so
	wasRST  bool
	goAways []http2.GoAwayFrame
}

// read reads frames until stream id has ended, or the connection has.
func (fr *framer) read(id uint32) (a answer2, err error) {
	_ = fr.c.SetReadDeadline(time.Now().Add(patience))
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return a, err
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() && id != 0 { // somebody else writes then
				_ = fr.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			a.goAways = append(a.goAways, http2.GoAwayFrame{LastStreamID: f.LastStreamID, ErrCode: f.ErrCode})
			if id == 0 && f.ErrCode != http2.ErrCodeNo {
				return a, nil
			}
		case *http2.HeadersFrame:
			fields, err := fr.dec.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				return a, err
			}
			if f.StreamID != id {
				continue
			}
			h := fieldLines{}
			for _, x := range fields {
				h[x.Name] = append(h[x.Name], x.Value)
				if x.Name == ":status" {
					a.status = x.Value
				}
			}
			a.heads = append(a.heads, h)
			if f.StreamEnded() {
				a.ended = true
				return a, nil
			}
		case *http2.DataFrame:
			if n := len(f.Data()); n > 0 && id != 0 {
				_ = fr.WriteWindowUpdate(0, uint32(n))
				if !f.StreamEnded() {
					_ = fr.WriteWindowUpdate(f.StreamID, uint32(n))
				}
			}
			if f.StreamID != id {
				continue
			}
			a.body += string(f.Data())
			if f.StreamEnded() {
				a.ended = true
				return a, nil
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				a.reset, a.wasRST = f.ErrCode, true
				return a, nil
			}
		}
	}
}

// mustRead is read of a stream that ends in order.
func (fr *framer) mustRead(id uint32) answer2 {
	fr.t.Helper()
	a, err := fr.read(id)
	if err != nil || !a.ended {
		fr.t.Fatalf("unexpected end of stream %d: %+v, %v", id, a, err)
	}
	return a
}

// mustEnd reads until that many streams have ended in order, whatever they said.
func (fr *framer) mustEnd(n int) {
	fr.t.Helper()
	_ = fr.c.SetReadDeadline(time.Now().Add(patience))
	for n > 0 {
		f, err := fr.ReadFrame()
		if err != nil {
			fr.t.Fatalf("%d streams have not ended: %v", n, err)
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			fr.t.Fatalf("unexpected frame: %v", f)
		case *http2.SettingsFrame:
			if !f.IsAck() {
				fr.ok(fr.WriteSettingsAck())
			}
		}
		if h := f.Header(); (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && h.Flags.Has(http2.FlagHeadersEndStream) {
			n--
		}
	}
}

// wantCalm checks that the connection ends because it was too much.
func (fr *framer) wantCalm(code http2.ErrCode) {
	fr.t.Helper()
	a, err := fr.read(0)
	if err != nil && len(a.goAways) == 0 {
		if strings.Contains(err.Error(), "reset") {
			return // what we had sent meanwhile was answered so
		}
		fr.t.Fatalf("unexpected end of the connection: %v", err)
	}
	if got := a.goAways[len(a.goAways)-1].ErrCode; got != code {
		fr.t.Fatalf("unexpected code of GOAWAY; got %v; want %v", got, code)
	}
	if _, err := io.ReadAll(fr.c); err != nil && !strings.Contains(err.Error(), "reset") {
		fr.t.Fatalf("the connection was not closed: %v", err)
	}
}

// tls2 is the TLS of a listener that offers HTTP/2, and of its clients.
func tls2(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	ca := certificatetest.NewAuthority(t)
	cert, key := ca.Write(t, "127.0.0.1")
	store, err := certificate.Open(slog.New(slog.DiscardHandler), certificate.Source{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	server = store.Server()
	listen.Negotiate(server, "h2", "http/1.1", "http/1.0")
	return server, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", NextProtos: []string{"h2", "http/1.1"}}
}
