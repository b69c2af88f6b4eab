package h2

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// patience is for how long something is waited for that must happen.
const patience = 30 * time.Second

// wire is a connection of HTTP/2 that says what a test has it say.
type wire struct {
	*http2.Framer
	t   *testing.T
	c   net.Conn
	dec *hpack.Decoder
	got map[uint32]*answer // of streams that others were read before
	end *connEnd
}

// connEnd is how a connection has ended.
type connEnd struct {
	code http2.ErrCode
	err  error
}

// answer is what a stream has come to.
type answer struct {
	heads  []fields // interim ones, the final one, trailers
	body   bytes.Buffer
	ended  bool // by END_STREAM
	reset  bool // by RST_STREAM
	code   http2.ErrCode
	frames []string // kinds of frames, in their order
}

// fields are those of a block by their names.
type fields map[string][]string

func (f fields) get(name string) string { return strings.Join(f[name], "|") }

// status returns the last status.
func (a *answer) status() (s string) {
	for _, h := range a.heads {
		if x := h.get(":status"); x != "" {
			s = x
		}
	}
	return s
}

// get returns a field of any of the heads.
func (a *answer) get(name string) string {
	for _, h := range a.heads {
		if x := h.get(name); x != "" {
			return x
		}
	}
	return ""
}

func (a *answer) over() bool { return a.ended || a.reset }

// dialWire opens a connection of HTTP/2 without TLS, and says the first words.
func dialWire(t *testing.T, addr string, settings ...http2.Setting) *wire {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return beginWire(t, c, settings...)
}

func beginWire(t *testing.T, c net.Conn, settings ...http2.Setting) *wire {
	t.Helper()
	w := newWire(t, c)
	w.write([]byte(http2.ClientPreface))
	w.ok(w.WriteSettings(settings...))
	return w
}

func newWire(t *testing.T, c net.Conn) *wire {
	w := &wire{Framer: http2.NewFramer(c, c), t: t, c: c, dec: hpack.NewDecoder(4096, nil), got: map[uint32]*answer{}}
	w.AllowIllegalWrites, w.AllowIllegalReads = true, true
	w.SetMaxReadFrameSize(1 << 20)
	t.Cleanup(func() { c.Close() })
	return w
}

func (w *wire) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("cannot write a frame: %v", err)
	}
}

func (w *wire) write(p []byte) {
	w.t.Helper()
	_, err := w.c.Write(p)
	w.ok(err)
}

// block returns a header block of names and values in turn.
func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // never fails
	}
	return b.Bytes()
}

// head are the pseudo fields of a request, and others behind them.
func head(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "http", ":authority", "a.example", ":path", path}, more...)
}

// open opens a stream.
func (w *wire) open(id uint32, end bool, fields ...string) {
	w.t.Helper()
	w.ok(w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(fields...), EndStream: end, EndHeaders: true}))
}

// stream returns what is known of a stream.
func (w *wire) stream(id uint32) *answer {
	a := w.got[id]
	if a == nil {
		a = new(answer)
		w.got[id] = a
	}
	return a
}

// step reads a frame, and gives windows back unless quiet.
func (w *wire) step(quiet bool) error {
	f, err := w.ReadFrame()
	if err != nil {
		w.end = &connEnd{err: err}
		return err
	}
	a := w.stream(f.Header().StreamID)
	a.frames = append(a.frames, f.Header().Type.String())
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			_ = w.WriteSettingsAck() // a connection that has ended says so to who reads
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = w.WritePing(true, f.Data)
		}
	case *http2.GoAwayFrame:
		if f.ErrCode != http2.ErrCodeNo {
			w.end = &connEnd{code: f.ErrCode, err: errors.New(string(f.DebugData()))}
			return w.end.err
		}
	case *http2.HeadersFrame:
		list, err := w.dec.DecodeFull(f.HeaderBlockFragment())
		if err != nil {
			return err
		}
		h := fields{}
		for _, x := range list {
			h[x.Name] = append(h[x.Name], x.Value)
		}
		a.heads = append(a.heads, h)
		a.ended = a.ended || f.StreamEnded()
	case *http2.DataFrame:
		if n := f.Header().Length; n > 0 && !quiet {
			_ = w.WriteWindowUpdate(0, n)
			if !f.StreamEnded() {
				_ = w.WriteWindowUpdate(f.StreamID, n)
			}
		}
		a.body.Write(f.Data())
		a.ended = a.ended || f.StreamEnded()
	case *http2.RSTStreamFrame:
		a.reset, a.code = true, f.ErrCode
	}
	return nil
}

// wait reads until a stream, or the connection, has ended.
func (w *wire) wait(id uint32) *answer {
	w.t.Helper()
	a := w.stream(id)
	w.until("the stream ends", func() bool { return a.over() })
	return a
}

// until reads frames until ok returns true, or the connection has ended.
func (w *wire) until(what string, ok func() bool) {
	w.t.Helper()
	_ = w.c.SetReadDeadline(time.Now().Add(patience))
	for !ok() && w.end == nil {
		_ = w.step(false) // w.end says it
	}
	var ne net.Error
	if w.end != nil && errors.As(w.end.err, &ne) && ne.Timeout() {
		w.t.Fatalf("does not happen: %s", what)
	}
}
