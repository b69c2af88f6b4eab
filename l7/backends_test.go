package l7

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/l7/http1"
)

// reply is what a backend sends and what the client must get of it.
type reply struct {
	method string // GET if empty
	proto  string // HTTP/1.1 if empty
	text   string
	ends   bool   // the backend closes its connection then
	resets bool   // with a reset
	want   string // status and body, and "cut" if the response must not look complete
}

func replies() []reply {
	big := strings.Repeat("x", 300<<10)
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	const cl = "HTTP/1.1 200 OK\r\nContent-Length: "
	const tec = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	rs := []reply{
		{text: cl + "2\r\n\r\nok", want: "200 ok"},
		{text: cl + "2\r\nContent-Length: 2\r\n\r\nok", want: "200 ok"},
		{text: cl + "0\r\n\r\n", want: "200 "},
		{text: cl + fmt.Sprint(len(big)) + "\r\n\r\n" + big, want: "200 " + big},
		{text: tec + chunk(big) + "0\r\n\r\n", want: "200 " + big},
		{text: tec + "2 \r\nok\r\n0 \r\n\r\n", want: "200 ok"}, // padded, as old servers do
		{text: tec + "2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n", want: "200 ok"},
		{text: "HTTP/1.0 200 OK\r\n\r\nok", ends: true, want: "200 ok"},
		{text: "HTTP/1.1 200 OK\r\n\r\n" + big, ends: true, want: "200 " + big},
		{text: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", want: "200 ok"},
		{text: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", want: "200 ok"},
		{text: "HTTP/1.1 299 \r\nContent-Length : 2\r\n\r\nok", want: "299 ok"},
		{text: "HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n", want: "599 "},
		{text: "HTTP/1.1 204 No Content\r\n\r\n", want: "204 "},
		{text: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: "204 "},
		{text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", want: "304 "},
		{method: "HEAD", text: cl + "5\r\n\r\n", want: "200 "},
		{method: "HEAD", text: tec, want: "200 "},
		{method: "HEAD", text: cl + "5\r\n\r\nhello", want: "200 "},
		{text: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + cl + "2\r\n\r\nok", want: "200 ok"},
		{text: "HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n" + cl + "2\r\n\r\nok", want: "200 ok"},
		{proto: "HTTP/1.0", text: tec + "2\r\nok\r\n0\r\n\r\n", want: "200 ok"},
		{proto: "HTTP/1.0", text: "HTTP/1.1 103 Early Hints\r\n\r\n" + cl + "2\r\n\r\nok", want: "200 ok"},

		// Breaks off.
		{text: cl + "5\r\n\r\nhell", ends: true, want: "200 hell cut"},
		{text: cl + "5\r\n\r\n", ends: true, want: "200  cut"},
		{text: cl + "5\r\n\r\nhell", ends: true, resets: true, want: "200 hell cut"},
		{text: tec + "5\r\nhell", ends: true, want: "200 hell cut"},
		{text: tec + "5\r\nhello", ends: true, want: "200 hello cut"},
		{text: tec + "5\r\nhello\r\n", ends: true, want: "200 hello cut"},
		{text: tec + "5\r\nhello\r\n0\r\n", ends: true, want: "200 hello cut"},
		{text: tec + "5\r\nhello\r\n0\r\nX: y\r\n", ends: true, want: "200 hello cut"},
		{text: "HTTP/1.1 200 OK\r\n\r\nhello", ends: true, resets: true, want: "200 hello cut"},
		{proto: "HTTP/1.0", text: "HTTP/1.1 200 OK\r\n\r\nhello", ends: true, resets: true, want: "200 hello cut"},
		{proto: "HTTP/1.0", text: tec + "5\r\nhello\r\n", ends: true, want: "200 hello cut"},

		// Framing that goes wrong in the middle.
		{text: tec + "5\r\nhello\r\nx\r\n", want: "200 hello cut"},
		{text: tec + "5\r\nhello\n0\r\n\r\n", want: "200 hello cut"},
		{text: tec + "5\r\nhelloworld\r\n0\r\n\r\n", want: "200 hello cut"},
		{text: tec + "-5\r\nhello\r\n0\r\n\r\n", want: "200  cut"},
		{text: tec + "5;\n\r\nhello\r\n0\r\n\r\n", want: "200  cut"},
		{text: tec + "fffffffffffffffff\r\nhello\r\n0\r\n\r\n", want: "200  cut"},
		{text: tec + "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", want: "200 hello cut"},

		// Nothing at all, or not enough.
		{text: "", ends: true, want: "502 backend_reset"},
		{text: "", ends: true, resets: true, want: "502 backend_reset"},
		{text: "HTTP/1.1 200 OK\r\nContent-Len", ends: true, want: "502 backend_reset"},
		{text: "HTTP/1.1 103 Early Hints\r\n\r\n", ends: true, want: "502 backend_reset"},
	}
	for _, bad := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		cl + "2\r\nContent-Length: 3\r\n\r\nok", cl + "2, 2\r\n\r\nok", cl + "-2\r\n\r\nok", cl + "+2\r\n\r\nok", cl + "0x2\r\n\r\nok", cl + "\r\n\r\nok", cl + "99999999999999999999\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 099 X\r\n\r\n", "HTTP/1.1 000 X\r\n\r\n", "HTTP/1.1 20 X\r\n\r\n", "HTTP/1.1 2000 X\r\n\r\n", "HTTP/1.1 2x0 X\r\n\r\n", "HTTP/1.1 -20 X\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/2.2 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "\r\n\r\n", "hello\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX y: z\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: y\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n Content-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 16+1),
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", http1.MaxFields+1) + "\r\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 100<<10),
	} {
		rs = append(rs, reply{text: bad, want: "502 bad_response"})
	}
	return rs
}

// TestMisbehavingBackends lets a backend send each reply whole and in small
// pieces, and looks at what the client gets, and whether the one after it gets
// what is its own.
func TestMisbehavingBackends(t *testing.T) { eachDriver(t, testMisbehavingBackends) }

func testMisbehavingBackends(t *testing.T) {
	t.Parallel()
	for _, pieces := range []int{1 << 20, 1, 7} {
		t.Run(fmt.Sprintf("pieces=%d", pieces), func(t *testing.T) {
			t.Parallel()
			var current atomic.Pointer[reply]
			addr := newRawBackend(t, func(_ int, c *rawConn) {
				for {
					req, _, err := c.request()
					if err != nil {
						return
					}
					if req.URL.Path == "/good" {
						c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
						continue
					}
					r := current.Load()
					for text := r.text; text != ""; {
						n := min(pieces, len(text))
						if _, err := io.WriteString(c, text[:n]); err != nil {
							return
						}
						text = text[n:]
					}
					if r.resets {
						time.Sleep(20 * time.Millisecond) // or it may overtake what was sent
						_ = c.SetLinger(0)
					}
					if r.ends {
						return
					}
				}
			})
			f := newFront(t, nil, addr)
			for _, r := range replies() {
				if pieces < 100 && len(r.text) > 10_000 {
					continue
				}
				current.Store(&r)
				if got := f.fetch(r.method, r.proto); got != r.want {
					t.Errorf("unexpected response to %.200q (%s %s, ends %v, resets %v); got %.100q; want %.100q", r.text, r.method, r.proto, r.ends, r.resets, got, r.want)
				}
				c := f.raw()
				c.write("GET /good HTTP/1.1\r\nHost: a\r\n\r\n")
				if _, body := c.response("GET"); body != "good" {
					t.Errorf("unexpected response after %.200q; got %.100q; want good", r.text, body)
				}
				c.Close()
			}
		})
	}
}

// fetch makes a request on a connection of its own and says what came.
func (f *front) fetch(method, proto string) string {
	f.t.Helper()
	if method == "" {
		method = "GET"
	}
	if proto == "" {
		proto = "HTTP/1.1"
	}
	c := f.raw()
	defer c.Close()
	c.write(method + " / " + proto + "\r\nHost: a\r\n\r\n")
	var resp *http.Response
	for resp == nil || resp.StatusCode < 200 {
		var err error
		if resp, err = http.ReadResponse(c.br, &http.Request{Method: method}); err != nil {
			return "no response: " + err.Error()
		}
		if proto == "HTTP/1.0" && resp.StatusCode < 200 {
			return "an interim response"
		}
	}
	if reason := resp.Header.Get("X-Sluice-Reason"); reason != "" {
		return strconv.Itoa(resp.StatusCode) + " " + reason
	}
	body, err := io.ReadAll(resp.Body)
	got := fmt.Sprintf("%d %s", resp.StatusCode, body)
	if err != nil {
		got += " cut"
	}
	return got
}

// TestInterimResponses checks that those which are for the client come as they
// are, before the response.
func TestInterimResponses(t *testing.T) { eachDriver(t, testInterimResponses) }

func testInterimResponses(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		if _, _, err := c.request(); err == nil {
			c.write("HTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: X-Hop\r\nX-Hop: y\r\nContent-Length: 3\r\n\r\n")
			<-next
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	c.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	var got strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	if want := "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"; got.String() != want {
		t.Errorf("unexpected interim response; got %q; want %q", got.String(), want)
	}
	close(next)
	if _, body := c.response("GET"); body != "ok" {
		t.Errorf("unexpected body; got %q", body)
	}
}

// TestTrailers checks both directions.
func TestTrailers(t *testing.T) { eachDriver(t, testTrailers) }

func testTrailers(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(200)
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	c.write("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")
	resp, body := c.response("POST")
	if body != "hello" || resp.Trailer.Get("X-Sum") != "42" {
		t.Errorf("unexpected response; got %q, trailer %v", body, resp.Trailer)
	}
}

// TestRandomCloses sends 10,000 GET and 10,000 POST requests to a backend that
// closes idle connections at random moments: no GET fails, and no POST runs
// twice.
func TestRandomCloses(t *testing.T) { eachDriver(t, testRandomCloses) }

func testRandomCloses(t *testing.T) {
	t.Parallel()
	const clients = 16
	each := 1250 // GET, and as many POST
	if raceEnabled {
		each = 200
	}
	ran := make([]atomic.Int32, clients*each)
	addr := newRawBackend(t, func(n int, c *rawConn) {
		rnd := rand.New(rand.NewPCG(1, uint64(n)))
		for i := 0; ; i++ {
			if i > 0 && rnd.IntN(4) == 0 { // it is idle, or so it seems
				time.Sleep(time.Duration(rnd.IntN(300)) * time.Microsecond)
				if rnd.IntN(2) == 0 {
					_ = c.SetLinger(0)
				}
				return
			}
			req, _, err := c.request()
			if err != nil {
				return
			}
			if id, err := strconv.Atoi(req.URL.Path[1:]); err == nil && req.Method == "POST" {
				ran[id].Add(1)
			}
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	unlimited := func(c *Config) { c.Routes[0].RetryBudget = unlimitedBudget() }
	f := newFront(t, unlimited, addr)
	var wg sync.WaitGroup
	var failed atomic.Int64
	for n := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := f.client()
			for i := range each {
				if status, reason, _ := get(t, c, f.url("/get")); status != 200 {
					t.Errorf("unexpected answer to GET; got %d %s", status, reason)
				}
				id := n*each + i
				resp, err := c.Post(f.url("/"+strconv.Itoa(id)), "", strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					failed.Add(1)
				} else if ran[id].Load() == 0 {
					t.Errorf("POST %d was answered and never ran", id)
				}
			}
		}()
	}
	wg.Wait()
	for id := range ran {
		if n := ran[id].Load(); n > 1 {
			t.Errorf("POST %d ran %d times", id, n)
		}
	}
	t.Logf("%d of %d POST requests failed, %v retries", failed.Load(), len(ran), f.gauge("sluice_l7_retries_total"))
}

// TestLateBodies has a backend that sends a body where there is none, a little
// later: the request right behind does not get it.
func TestLateBodies(t *testing.T) { eachDriver(t, testLateBodies) }

func testLateBodies(t *testing.T) {
	t.Parallel()
	addr := newRawBackend(t, func(_ int, c *rawConn) {
		for {
			req, _, err := c.request()
			if err != nil {
				return
			}
			switch {
			case req.Method == "GET":
				_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
			default:
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
				time.Sleep(time.Millisecond)
				_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			}
			if err != nil {
				return
			}
		}
	})
	f := newFront(t, nil, addr)
	c := f.raw()
	for range 4 {
		c.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		c.response("HEAD")
		if _, body := c.response("GET"); body != "good" {
			t.Errorf("unexpected body; got %q; want good", body)
		}
	}
}
