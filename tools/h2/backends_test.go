package h2

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// recorder is a backend of HTTP/1.1 that keeps the bytes of the requests that it
// gets, and answers with them, or what the path says.
type recorder struct {
	addr string

	mu       sync.Mutex
	requests []string
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{addr: ln.Addr().String()}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

// all returns the requests that have come, whose text contains s.
func (r *recorder) all(s string) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.requests {
		if strings.Contains(x, s) {
			all = append(all, x)
		}
	}
	return all
}

func (r *recorder) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		text, err := readRequest(in)
		if text != "" {
			r.mu.Lock()
			r.requests = append(r.requests, text)
			r.mu.Unlock()
		}
		if err != nil {
			return
		}
		_, target, _ := strings.Cut(text, " ")
		target, _, _ = strings.Cut(target, " ")
		path, _, _ := strings.Cut(target, "?")
		reply, ok := replies[path]
		if !ok {
			reply = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			if strings.HasPrefix(text, "HEAD ") {
				reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
			}
		}
		if _, err := io.WriteString(c, reply); err != nil || strings.HasSuffix(path, "/close") {
			return
		}
	}
}

// replies are what the recorder answers by path, as it goes over the wire.
var replies = map[string]string{
	"/hop":         "HTTP/1.1 200 OK\r\nConnection: x-private, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\nProxy-Connection: x\r\nUpgrade: h3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"/trailers":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n2\r\nok\r\n0\r\nX-End: yes\r\n\r\n",
	"/unannounced": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: yes\r\nConnection: close\r\nContent-Length: 7\r\n\r\n",
	"/cut/close":   "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
	"/cutc/close":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	"/until/close": "HTTP/1.0 200 OK\r\n\r\nall there is",
	"/hints":       "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"/continue":    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"/204":         "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
	"/304":         "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nEtag: x\r\n\r\n",
	"/101":         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
	"/cookies":     "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n",
	"/latin":       "HTTP/1.1 200 OK\r\nX-Latin: \xe9t\xe9\r\nContent-Length: 0\r\n\r\n",
	"/smuggle":     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"/garbage":     "SSH-2.0-OpenSSH\r\n\r\n",
	"/badname":     "HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 0\r\n\r\n",
	"/folded":      "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
	"/upper":       "HTTP/1.1 200 OK\r\nX-UPPER: V\r\nCONTENT-LENGTH: 0\r\n\r\n",
	"/status":      "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
	"/empty":       "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"/blank":       "HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n",
	"/pseudo":      "HTTP/1.1 200 OK\r\n:status: 500\r\nContent-Length: 0\r\n\r\n",
	"/surplus":     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
}

// readRequest reads a request and returns its bytes.
func readRequest(in *bufio.Reader) (string, error) {
	var text bytes.Buffer
	line := func() (string, error) {
		s, err := in.ReadString('\n')
		text.WriteString(s)
		return s, err
	}
	length, chunked := 0, false
	for {
		s, err := line()
		if err != nil {
			return text.String(), err
		}
		if s == "\r\n" {
			break
		}
		name, value, _ := strings.Cut(s, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			length, _ = strconv.Atoi(value)
		case "transfer-encoding":
			chunked = true
		}
	}
	if !chunked {
		_, err := io.CopyN(&text, in, int64(length))
		return text.String(), err
	}
	for {
		s, err := line()
		if err != nil {
			return text.String(), err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(s), 16, 64)
		if err != nil {
			return text.String(), err
		}
		if n > 0 {
			if _, err := io.CopyN(&text, in, n+2); err != nil {
				return text.String(), err
			}
			continue
		}
		for {
			if s, err := line(); err != nil || s == "\r\n" {
				return text.String(), err
			}
		}
	}
}

// goBackend is a backend of Go's server, which speaks HTTP/1.1 and HTTP/2 without TLS.
func goBackend(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(ln) }() // until the test ends
	t.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}
