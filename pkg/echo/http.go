package echo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// handleHTTP answers a request. It looks at the path as it came: a mux would
// clean and redirect it, and this server is to show what reached it.
func (s *Server) handleHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Backend", s.cfg.Name)
	if s.cfg.Latency > 0 && !sleep(r.Context(), s.cfg.Latency) {
		panic(http.ErrAbortHandler) // the client is gone, or Close was called
	}
	path := r.URL.Path
	if path == "/healthz" {
		if s.down() {
			s.text(w, http.StatusServiceUnavailable, "failing on purpose")
			return
		}
		s.text(w, http.StatusOK, "ok")
		return
	}
	if s.failing() {
		s.text(w, http.StatusServiceUnavailable, s.cfg.Name+" fails on purpose")
		return
	}
	code, isStatus := strings.CutPrefix(path, "/status/")
	size, isBytes := strings.CutPrefix(path, "/bytes/")
	switch {
	case isStatus:
		s.status(w, code)
	case isBytes:
		s.bytes(w, size)
	case path == "/sse":
		s.events(w, r)
	case path == "/headers":
		s.headers(w, r)
	case path == "/slow":
		s.slow(w, r)
	case r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch:
		s.body(w, r)
	default:
		s.line(w, r)
	}
}

// text answers with one line.
func (s *Server) text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(line)+1))
	w.WriteHeader(code)
	_, _ = io.WriteString(w, line+"\n") // a failure is the client's own
}

// line says who got which request.
func (s *Server) line(w http.ResponseWriter, r *http.Request) {
	s.text(w, http.StatusOK, s.cfg.Name+" "+r.Method+" "+r.URL.EscapedPath())
}

func (s *Server) status(w http.ResponseWriter, code string) {
	n, err := strconv.Atoi(code)
	switch {
	case err != nil || n < 200 || n > 599:
		s.text(w, http.StatusBadRequest, fmt.Sprintf("cannot answer with status %q: it is 200 to 599", code))
	case n == http.StatusNoContent || n == http.StatusNotModified:
		w.WriteHeader(n)
	default:
		s.text(w, n, fmt.Sprintf("%s %d %s", s.cfg.Name, n, http.StatusText(n)))
	}
}

// patternPeriod is a prime, so that bytes that were lost or moved do not
// happen to match.
const patternPeriod = 251

func newPattern() []byte {
	p := make([]byte, 256*patternPeriod)
	for i := range p {
		p[i] = byte(i % patternPeriod)
	}
	return p
}

func (s *Server) bytes(w http.ResponseWriter, size string) {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		s.text(w, http.StatusBadRequest, fmt.Sprintf("cannot send %q bytes: it is a whole number from 0", size))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for n > 0 {
		// len(pattern) is a multiple of its period, so chunks join up.
		m, err := w.Write(s.pattern[:min(n, int64(len(s.pattern)))])
		if err != nil {
			return
		}
		n -= int64(m)
	}
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	n, every := 10, 100*time.Millisecond
	var err error
	if v := r.URL.Query().Get("n"); v != "" {
		if n, err = strconv.Atoi(v); err != nil || n < 0 {
			s.text(w, http.StatusBadRequest, fmt.Sprintf("cannot send n=%q events: it is a whole number from 0", v))
			return
		}
	}
	if v := r.URL.Query().Get("every"); v != "" {
		if every, err = time.ParseDuration(v); err != nil {
			s.text(w, http.StatusBadRequest, fmt.Sprintf("cannot use every=%q: it is a duration such as 100ms", v))
			return
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	for i := range n {
		if i > 0 && !sleep(r.Context(), every) {
			panic(http.ErrAbortHandler) // an event stream cut short must not look complete
		}
		fmt.Fprintf(w, "id: %d\ndata: %s %d\n\n", i+1, s.cfg.Name, i+1)
		if rc.Flush() != nil {
			return
		}
	}
}

func (s *Server) headers(w http.ResponseWriter, r *http.Request) {
	h := maps.Clone(r.Header)
	h["Host"] = []string{r.Host} // net/http keeps it apart
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(h) // a failure is the client's own
}

func (s *Server) slow(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query().Get("d")
	d, err := time.ParseDuration(v)
	if err != nil {
		s.text(w, http.StatusBadRequest, fmt.Sprintf("cannot wait d=%q: it is a duration such as 1s", v))
		return
	}
	if !sleep(r.Context(), d) {
		panic(http.ErrAbortHandler)
	}
	s.line(w, r)
}

// body sends the request's body back piece by piece as it comes.
func (s *Server) body(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // HTTP/1 of net/http always can
	if t := r.Header.Get("Content-Type"); t != "" {
		w.Header().Set("Content-Type", t)
	} else {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	if r.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // half a body must not look complete
		}
		if rc.Flush() != nil {
			return
		}
	}
}
