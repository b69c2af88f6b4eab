package fast

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// serveHandler starts somebody's own fasthttp.Server with wrap around a Handler
// before h. When the test ends everything that it had taken must be back.
func serveHandler(t *testing.T, h http.HandlerFunc, wrap func(fasthttp.RequestHandler) fasthttp.RequestHandler) net.Addr {
	t.Helper()
	cfg, b := config(t, h)
	handler, err := NewHandler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	inner := handler.Handle
	if wrap != nil {
		inner = wrap(inner)
	}
	server := &fasthttp.Server{Handler: inner, StreamRequestBody: true, DisablePreParseMultipartForm: true, ReadBufferSize: 32 << 10, NoDefaultServerHeader: true, Logger: quietly{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.ShutdownWithContext(ctx); err != nil {
			t.Errorf("cannot shut down: %v", err)
		}
		<-served
		eventually(t, "all slots are back", func() bool { return b.Active() == 0 })
		handler.Close()
		if open := b.Conns.Open.Load(); open != 0 {
			t.Errorf("unexpected connections to the backend left: %d", open)
		}
	})
	return ln.Addr()
}

// TestHandlerBodies passes bodies through somebody's own server, both ways.
func TestHandlerBodies(t *testing.T) {
	t.Parallel()
	addr := serveHandler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Add("X-Many", "1")
		w.Header().Add("X-Many", "2")
		body, err := io.ReadAll(r.Body)
		if r.URL.Query().Get("chunks") != "" {
			_, _ = w.Write(body[:len(body)/2])
			w.(http.Flusher).Flush()
			_, _ = w.Write(body[len(body)/2:])
			w.Header().Set("X-Sum", fmt.Sprint(len(body), err, r.Trailer.Get("X-T")))
			return
		}
		w.Header().Del("Trailer")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
	}, nil)
	c := dial(t, addr)
	for _, n := range []int{0, 1, 5000, 9000, 300_000} {
		body := strings.Repeat("b", n)
		for _, framing := range []string{
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, body),
			fmt.Sprintf("Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n%s0\r\nX-T: t\r\n\r\n", chunk(body)),
		} {
			for _, target := range []string{"/", "/?chunks=1"} {
				resp, got := c.do("POST " + target + " HTTP/1.1\r\nHost: a\r\n" + framing)
				if resp.StatusCode != 200 || got != body || strings.Join(resp.Header["X-Many"], ",") != "1,2" {
					t.Fatalf("unexpected echo of %d bytes; got %d, %d bytes, %v", n, resp.StatusCode, len(got), resp.Header)
				}
				want := fmt.Sprint(n, nil)
				if strings.Contains(framing, "chunked") {
					want = fmt.Sprint(n, nil, "t")
				}
				if sum := resp.Trailer.Get("X-Sum"); target != "/" && !strings.HasPrefix(sum, fmt.Sprint(n)) {
					t.Errorf("unexpected trailer %q; want one like %q", sum, want)
				}
			}
		}
	}
}

func chunk(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%x\r\n%s\r\n", len(s), s)
}

// TestHandlerVerdicts sends heads that two programs could read differently: each
// is refused as by the other drivers, or by fasthttp itself, and no backend hears
// of it.
func TestHandlerVerdicts(t *testing.T) {
	t.Parallel()
	addr := serveHandler(t, func(http.ResponseWriter, *http.Request) { t.Error("a backend has heard of it") }, nil)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
		"GET http://u@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
		"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n",
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /%2e%2e/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	} {
		c := dial(t, addr)
		resp, _ := c.do(request)
		if resp.StatusCode < 400 || resp.StatusCode >= 600 || resp.StatusCode == 502 {
			t.Errorf("unexpected status %d for %q", resp.StatusCode, request)
		}
		if _, err := c.br.ReadByte(); !errors.Is(err, io.EOF) && err == nil {
			t.Errorf("the connection goes on after %q", request)
		}
	}
}

// TestHandlerBreaks cuts messages off: the other side is told that they are not
// whole.
func TestHandlerBreaks(t *testing.T) {
	t.Parallel()
	cut := make(chan error, 2)
	addr := serveHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			_, err := io.Copy(io.Discard, r.Body)
			cut <- err
			return
		}
		if r.URL.Path == "/cl" {
			w.Header().Set("Content-Length", "100")
		}
		fmt.Fprint(w, "begun")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, nil)
	for _, path := range []string{"/cl", "/chunks"} {
		c := dial(t, addr)
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(c.br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: a response that broke off looks whole", path)
		}
	}
	for _, framing := range []string{"Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 20_000), "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
		c := dial(t, addr)
		if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+framing); err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		if err := <-cut; err == nil {
			t.Errorf("a body that broke off looks whole to the backend: %.40q", framing)
		}
	}
}

// TestHandlerAbort has the client go away while the backend thinks.
func TestHandlerAbort(t *testing.T) {
	t.Parallel()
	asked, gone := make(chan struct{}), make(chan struct{})
	addr := serveHandler(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	}, nil)
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	_ = c.SetLinger(0)
	c.Close()
	<-gone // or the test hangs
}

// TestHandlerUpgrade passes bytes on both ways after a switch of protocols.
func TestHandlerUpgrade(t *testing.T) {
	t.Parallel()
	addr := serveHandler(t, func(w http.ResponseWriter, r *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhi;")
		_ = rw.Flush()
		_, _ = io.Copy(nc, rw)
	}, nil)
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("unexpected response %v, %v", resp, err)
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if got, err := io.ReadAll(bufio.NewReader(c.br)); string(got) != "hi;hello" || err != nil {
		t.Fatalf("unexpected bytes %q, %v", got, err)
	}
}

// TestHandlerMiddleware changes heads on their way: backends see what middleware
// made of them, and the rest line by line as it came.
func TestHandlerMiddleware(t *testing.T) {
	t.Parallel()
	addr := serveHandler(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s|%s|%s|%s", r.RequestURI, r.Host, r.Header["X-Kept"], r.Header["X-Gone"], r.Header["X-New"], r.Header["Cookie"])
	}, func(next fasthttp.RequestHandler) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			h := &ctx.Request.Header
			h.Del("X-Gone")
			h.Set("X-New", "n")
			h.SetHost("b.example")
			h.SetRequestURI("/changed")
			next(ctx)
			ctx.Response.Header.Set("X-After", "1")
		}
	})
	resp, got := dial(t, addr).do("GET / HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\nX-Kept: 2\r\nX-Gone: g\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n")
	if want := "/changed|b.example|[1 2]|[]|[n]|[a=1 b=2]"; got != want || resp.Header.Get("X-After") != "1" {
		t.Errorf("unexpected request; got %s, %v; want %s", got, resp.Header, want)
	}
}
