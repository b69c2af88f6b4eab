package l7

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sluice/pkg/backend"
)

// TestHTTP2SizedTrailers has a trailer section behind a body that says its length
// come through, both ways, whenever it comes.
func TestHTTP2SizedTrailers(t *testing.T) {
	t.Parallel()
	trailers := make(chan string, 1)
	addr := frameBackend(t, func(_ int, fr *framer) {
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			h, ok := f.(*http2.HeadersFrame)
			if !ok {
				continue
			}
			fields, err := fr.dec.DecodeFull(h.HeaderBlockFragment())
			if err != nil {
				t.Errorf("unexpected block: %v", err)
				return
			}
			if !h.StreamEnded() {
				continue
			}
			trailers <- fmt.Sprint(fields)
			fr.open(h.StreamID, false, ":status", "200", "content-length", "5")
			_ = fr.WriteData(h.StreamID, false, []byte("hello"))
			fr.open(h.StreamID, true, "x-end", "yes")
		}
	})
	f := newClearFront(t, nil)
	f.speak(backend.H2C, addr)
	fr := f.framer()
	for i, size := range []int{5, 20000} { // one of them is awaited before a backend is picked
		id := uint32(2*i + 1)
		fr.open(id, false, post2("/", "content-length", fmt.Sprint(size))...)
		for left := size; left > 0; left -= 5 {
			fr.ok(fr.WriteData(id, false, []byte("world")))
		}
		fr.open(id, true, "x-sent", "all")
		if got := <-trailers; !strings.Contains(got, `"x-sent" = "all"`) {
			t.Errorf("the backend did not get the trailer section: %v", got)
		}
		a := fr.mustRead(id)
		if a.body != "hello" || a.heads[0].get("content-length") != "5" || a.heads[len(a.heads)-1].get("x-end") != "yes" {
			t.Errorf("unexpected response: %+v", a)
		}
	}
}

// TestHTTP2SizedEnd has a client of HTTP/1.1 get a response by its length whose
// backend of HTTP/2 has a trailer section for it, or says its end later.
func TestHTTP2SizedEnd(t *testing.T) {
	t.Parallel()
	addr := frameBackend(t, func(_ int, fr *framer) {
		for n := 0; ; n++ {
			id, ok := fr.request()
			if !ok {
				return
			}
			fr.open(id, false, ":status", "200", "content-length", "5")
			_ = fr.WriteData(id, false, []byte("hello"))
			if n%2 == 0 {
				fr.open(id, true, "x-end", "yes")
			} else {
				_ = fr.WriteData(id, true, nil)
			}
		}
	})
	f := newClearFront(t, nil)
	f.speak(backend.H2C, addr)
	c := f.raw()
	for range 4 {
		c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, body := c.response("GET"); resp.ContentLength != 5 || body != "hello" {
			t.Errorf("unexpected response: %d, %q", resp.ContentLength, body)
		}
	}
}

// switching is a backend of HTTP/2 that switches protocols for whoever asks
// (RFC 8441), and echoes; without the setting it has no such requests.
func switching(t *testing.T, settings ...http2.Setting) string {
	return frameBackend(t, func(_ int, fr *framer) {
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.HeadersFrame:
				fields, err := fr.dec.DecodeFull(f.HeaderBlockFragment())
				if err != nil {
					t.Errorf("unexpected block: %v", err)
					return
				}
				got := fmt.Sprint(fields)
				switch {
				case f.StreamEnded():
					fr.open(f.StreamID, true, ":status", "200", "x-plain", "yes")
				case strings.Contains(got, `"/refuse"`):
					fr.open(f.StreamID, true, ":status", "403")
				case !strings.Contains(got, `":method" = "CONNECT"`) || !strings.Contains(got, `":protocol" = "websocket"`) || strings.Contains(got, "sec-websocket-key") || !strings.Contains(got, `"sec-websocket-version" = "13"`):
					t.Errorf("unexpected request: %s", got)
				default:
					fr.open(f.StreamID, false, ":status", "200")
					_ = fr.WriteData(f.StreamID, false, []byte("hello"))
				}
			case *http2.DataFrame:
				_ = fr.WriteData(f.StreamID, f.StreamEnded(), f.Data())
			}
		}
	}, settings...)
}

// TestHTTP2SwitchAtBackends has WebSockets of both HTTPs reach backends of HTTP/2
// that take them, and be refused in plain words where they do not.
func TestHTTP2SwitchAtBackends(t *testing.T) {
	t.Parallel()
	const asks = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	f := newClearFront(t, nil)
	f.speak(backend.H2C, switching(t, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}))

	c := f.raw()
	c.write("GET /chat HTTP/1.1\r\n" + asks + " world")
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		t.Fatalf("unexpected response: %+v, %v", resp, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c.br); string(got) != "hello world" || err != nil {
		t.Errorf("unexpected bytes: %q, %v", got, err)
	}

	fr := f.framer()
	connect := func(path string) []string {
		return []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", path, "sec-websocket-version", "13"}
	}
	fr.open(1, false, connect("/chat")...)
	fr.ok(fr.WriteData(1, true, []byte(" world")))
	if a := fr.mustRead(1); a.status != "200" || a.body != "hello world" {
		t.Errorf("unexpected tunnel: %+v", a)
	}
	fr.open(3, false, connect("/refuse")...)
	if a := fr.mustRead(3); a.status != "403" {
		t.Errorf("unexpected refusal: %+v", a)
	}

	f = newClearFront(t, nil)
	f.speak(backend.H2C, switching(t))
	c = f.raw()
	c.write("GET /chat HTTP/1.1\r\n" + asks)
	if resp, body := c.response("GET"); resp.StatusCode != 501 || resp.Header.Get("X-Sluice-Reason") != "no_upgrade" || !strings.Contains(body, "RFC 8441") {
		t.Errorf("unexpected answer: %d, %v, %q", resp.StatusCode, resp.Header, body)
	}
	c = f.raw()
	c.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
	if resp, _ := c.response("GET"); resp.StatusCode != 200 || resp.Header.Get("X-Plain") != "yes" {
		t.Errorf("unexpected answer to another protocol, which may be ignored: %d", resp.StatusCode)
	}
}

// TestHTTP2NoSwitch has a client of HTTP/2 not be told that its protocol was
// switched when a backend has only answered.
func TestHTTP2NoSwitch(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			w.WriteHeader(404)
		}
	})
	fr := newClearFront(t, nil, addr).framer()
	for i, x := range []struct{ path, status string }{{"/", "502"}, {"/none", "404"}} {
		id := uint32(2*i + 1)
		fr.open(id, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", x.path)
		if a, err := fr.read(id); a.status != x.status {
			t.Errorf("unexpected answer: %+v, %v; want %s", a, err, x.status)
		}
	}
}

// TestHTTP2Kept has requests be tried elsewhere of which a part had gone to a
// backend that says it did nothing for them, if that is little.
func TestHTTP2Kept(t *testing.T) {
	t.Parallel()
	good, _ := newClearBackend(t, 0, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for name, x := range map[string]struct {
		size    int
		refuse  func(fr *framer, id uint32)
		refused bool
	}{
		"refused":        {10, func(fr *framer, id uint32) { _ = fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, false},
		"left":           {20000, func(fr *framer, id uint32) { _ = fr.WriteGoAway(id-2, http2.ErrCodeNo, nil) }, false},
		"too much of it": {60000, func(fr *framer, id uint32) { _ = fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, rest := make(chan bool, 2), make(chan bool)
			bad := frameBackend(t, func(_ int, fr *framer) {
				got, served := 0, false
				for {
					f, err := fr.ReadFrame()
					if err != nil {
						return
					}
					switch f := f.(type) {
					case *http2.HeadersFrame:
						if served = f.StreamID == 1; served { // the last that it serves
							fr.open(f.StreamID, true, ":status", "204")
						} else {
							asked <- true
						}
					case *http2.DataFrame:
						_ = fr.WriteWindowUpdate(0, f.Length)
						_ = fr.WriteWindowUpdate(f.StreamID, f.Length)
						if got += len(f.Data()); !served && got >= x.size {
							<-rest
							x.refuse(fr, f.StreamID)
							asked <- true
						}
					}
				}
			})
			f := newClearFront(t, nil)
			f.speak(backend.H2C, bad)
			fr := f.framer()
			fr.open(1, true, get2("/")...)
			fr.mustRead(1)
			fr.open(3, false, post2("/")...)
			sent := strings.Repeat("x", x.size)
			for left := sent; left != ""; left = left[min(len(left), 16384):] {
				fr.ok(fr.WriteData(3, false, []byte(left[:min(len(left), 16384)])))
			}
			wait := func(what string) {
				select {
				case <-asked:
				case <-time.After(patience):
					t.Fatal("does not happen: ", what)
				}
			}
			wait("the backend gets the request")
			f.speak(backend.H2C, bad, good)
			close(rest)
			wait("it gets the body")
			fr.ok(fr.WriteData(3, true, []byte("!")))
			a, err := fr.read(3)
			if x.refused {
				if a.status == "200" {
					t.Errorf("unexpected response: %s", a.status)
				}
				return
			}
			if err != nil || !a.ended || a.status != "200" || a.body != sent+"!" {
				t.Errorf("unexpected response: %s, %d bytes, %v, %v", a.status, len(a.body), a.ended, err)
			}
		})
	}
}

// TestHTTP2LateDeadline has a caller of gRPC be told of its deadline also when its
// response has begun.
func TestHTTP2LateDeadline(t *testing.T) {
	t.Parallel()
	addr, _ := newClearBackend(t, 0, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = io.WriteString(w, "message")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	f := newClearFront(t, nil)
	f.speak(backend.H2C, addr)
	fr := f.framer()
	for i, whole := range []bool{true, false} {
		id := uint32(2*i + 1)
		fr.open(id, whole, post2("/s/m", "content-type", "application/grpc", "grpc-timeout", "300m")...)
		a := fr.mustRead(id)
		if last := a.heads[len(a.heads)-1]; a.body != "message" || last.get("grpc-status") != "4" || last.get("grpc-message") == "" {
			t.Errorf("unexpected end: %+v", a)
		}
	}
	f.wantMetric(`sluice_l7_grpc_calls_total{service="web",code="DEADLINE_EXCEEDED"}`, 2)
}

// TestHTTP2TableSize has a client, and a backend, whose decoder has a smaller table
// than is usual hear that it is respected: some do not go on otherwise.
func TestHTTP2TableSize(t *testing.T) {
	t.Parallel()
	const update = 0x20 // a change of the size, with 5 bits of it
	blocks := make(chan byte, 8)
	addr := frameBackend(t, func(_ int, fr *framer) {
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := f.(*http2.HeadersFrame); ok {
				blocks <- h.HeaderBlockFragment()[0]
				fr.open(h.StreamID, true, ":status", "200")
			}
		}
	}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
	f := newClearFront(t, nil)
	f.speak(backend.H2C, addr)
	for _, size := range []uint32{0, 4096} {
		fr := f.framer(http2.Setting{ID: http2.SettingHeaderTableSize, Val: size})
		_ = fr.c.SetReadDeadline(time.Now().Add(patience))
		for i := range uint32(2) {
			fr.open(2*i+1, true, get2("/")...)
			for {
				got, err := fr.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if h, ok := got.(*http2.HeadersFrame); ok {
					if said := h.HeaderBlockFragment()[0] == update; said != (size == 0 && i == 0) {
						t.Errorf("unexpected beginning of block %d with a table of %d: %#x", i, size, h.HeaderBlockFragment()[0])
					}
					break
				}
			}
		}
	}
	said := 0
	for range 4 {
		if <-blocks == update {
			said++
		}
	}
	if said == 0 {
		t.Error("the backend did not hear that its table is respected")
	}
}

// TestHTTP2LazyWindows has an upload come through to a server whose windows of
// streams are as large as that of the connection, and which opens them again only
// when it has read more than half of them, or three quarters.
func TestHTTP2LazyWindows(t *testing.T) {
	t.Parallel()
	for _, part := range []uint32{32_768, 49_152} { // of 65,535
		addr := frameBackend(t, func(_ int, fr *framer) {
			var stream, conn uint32
			for {
				f, err := fr.ReadFrame()
				if err != nil {
					return
				}
				d, ok := f.(*http2.DataFrame)
				if !ok {
					continue
				}
				stream, conn = stream+d.Length, conn+d.Length
				if conn >= part {
					_ = fr.WriteWindowUpdate(0, conn)
					conn = 0
				}
				if stream >= part && !d.StreamEnded() {
					_ = fr.WriteWindowUpdate(d.StreamID, stream)
					stream = 0
				}
				if d.StreamEnded() {
					fr.open(d.StreamID, true, ":status", "200")
				}
			}
		})
		f := newClearFront(t, nil)
		f.speak(backend.H2C, addr)
		resp, err := f.client().Post(f.url("/"), "text/plain", strings.NewReader(strings.Repeat("x", 1_000_000)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("unexpected status with windows opened after %d bytes: %d", part, resp.StatusCode)
		}
	}
}
