package l7

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/pkg/backend"
)

// TestCalls has calls of gRPC counted, and backends judged, by the statuses of
// gRPC, wherever those are said.
func TestCalls(t *testing.T) {
	t.Parallel()
	addr, _ := newClearBackend(t, 0, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		how, status, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/s/"), "/")
		w.Header().Set("Content-Type", "application/grpc")
		switch how {
		case "head":
			w.Header().Set("Grpc-Status", status)
		case "slow":
			<-r.Context().Done()
		default:
			_, _ = w.Write(body)
			w.(http.Flusher).Flush()
			if status != "" {
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
			}
		}
	})
	f := newClearFront(t, nil)
	f.speak(backend.H2C, addr)
	fr := f.framer()
	id := uint32(1)
	for path, want := range map[string]string{
		"/s/head/0": "0", "/s/head/5": "5", "/s/head/14": "14", "/s/head/99": "99",
		"/s/tail/0": "0", "/s/tail/7": "7", "/s/tail/13": "13", "/s/tail/": "",
		"/s/slow/": "4",
	} {
		fields := post2(path, "content-type", "application/grpc", "te", "trailers")
		if path == "/s/slow/" {
			fields = append(fields, "grpc-timeout", "100m")
		}
		fr.open(id, false, fields...)
		fr.ok(fr.WriteData(id, true, []byte("message")))
		a := fr.mustRead(id)
		id += 2
		if got := a.heads[len(a.heads)-1].get("grpc-status"); got != want || a.status != "200" {
			t.Errorf("unexpected answer to %s: %+v", path, a)
		}
		if strings.HasPrefix(path, "/s/head") && (len(a.heads) != 1 || a.body != "") {
			t.Errorf("trailers alone became more: %+v", a)
		}
		if strings.HasPrefix(path, "/s/tail") && a.body != "message" {
			t.Errorf("unexpected body: %q", a.body)
		}
	}
	for code, n := range map[string]float64{"OK": 2, "NOT_FOUND": 1, "UNAVAILABLE": 1, "UNKNOWN": 2, "PERMISSION_DENIED": 1, "INTERNAL": 1, "DEADLINE_EXCEEDED": 1, "CANCELLED": 0} {
		f.wantMetric(`sluice_l7_grpc_calls_total{service="web",code="`+code+`"}`, n)
	}
}

// TestCallsEject has a backend taken out that answers calls by statuses that say
// that it failed, however well its HTTP is.
func TestCallsEject(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]http.HandlerFunc{
		"head": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Grpc-Status", "14") },
		"tail": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "13")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, _ := newClearBackend(t, 0, failing)
			f := newClearFront(t, nil)
			f.speak(backend.H2C, bad)
			fr := f.framer()
			for i := range uint32(60) {
				fr.open(2*i+1, true, post2("/", "content-type", "application/grpc")...)
				fr.mustRead(2*i + 1)
			}
			b := f.pool.Snapshot().All[0]
			eventually(t, "the errors are held against the backend", func() bool { return b.ErrorRate(b.Now()) > 0.2 })
		})
	}
}

// TestCallsByHTTP1 has a caller of gRPC that speaks HTTP/1.1 be told what is
// wrong.
func TestCallsByHTTP1(t *testing.T) {
	t.Parallel()
	addr := newBackend(t, func(http.ResponseWriter, *http.Request) { t.Error("the backend was asked") })
	c := newFront(t, nil, addr).raw()
	c.write("POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\nTE: trailers\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00")
	resp, body := c.response("POST")
	if resp.StatusCode != 505 || !strings.Contains(body, "gRPC needs HTTP/2") || resp.Header.Get("Grpc-Status") != "12" {
		t.Errorf("unexpected answer: %d, %v, %q", resp.StatusCode, resp.Header, body)
	}
}

// TestCallsQuiet has a stream that says nothing for longer than a body may be
// silent, and slower than a body must be, go on.
func TestCallsQuiet(t *testing.T) {
	t.Parallel()
	addr, _ := newClearBackend(t, 0, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		_, _ = io.Copy(w, r.Body)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	const short = 150 * time.Millisecond
	f := newClearFront(t, func(c *Config) {
		c.BodyTimeout, c.ResponseTimeout, c.MinBodyRate, c.MinBodyRateOver = short, short, 1<<20, short
	})
	f.speak(backend.H2C, addr)
	fr := f.framer()
	fr.open(1, false, post2("/s/m", "content-type", "application/grpc")...)
	time.Sleep(3 * short) // so long is nothing said
	fr.ok(fr.WriteData(1, true, []byte("late")))
	if a := fr.mustRead(1); a.body != "late" {
		t.Errorf("unexpected end of a quiet stream: %+v", a)
	}
}

// TestCallsRetryOn has calls be made again that end with a status which the
// operator has named, if nothing else was said, and no others.
func TestCallsRetryOn(t *testing.T) {
	t.Parallel()
	answer := func(status string) string {
		addr, _ := newClearBackend(t, 0, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "application/grpc")
			if status == "" {
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
				_, _ = w.Write(body)
				return
			}
			if r.URL.Path == "/s/late" {
				_, _ = w.Write(body)
				w.(http.Flusher).Flush()
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
				return
			}
			w.Header().Set("Grpc-Status", status)
		})
		return addr
	}
	bad, good := answer("14"), answer("")
	for name, x := range map[string]struct {
		retryOn int
		path    string
		fails   bool
	}{
		"unavailable": {1 << 14, "/s/m", false},
		"another":     {1 << 8, "/s/m", true},
		"none":        {0, "/s/m", true},
		"said more":   {1 << 14, "/s/late", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newClearFront(t, func(c *Config) { c.RetryOn = x.retryOn })
			f.speak(backend.H2C, bad, good)
			fr := f.framer()
			failed := false
			for i := range uint32(24) {
				fr.open(2*i+1, false, post2(x.path, "content-type", "application/grpc", "te", "trailers")...)
				fr.ok(fr.WriteData(2*i+1, true, []byte("message")))
				a := fr.mustRead(2*i + 1)
				switch status := a.heads[len(a.heads)-1].get("grpc-status"); {
				case status == "14":
					failed = true
				case status != "0" || a.body != "message":
					t.Errorf("unexpected response: %+v", a)
				}
			}
			if failed != x.fails {
				t.Errorf("unexpected outcome; failed: %v; want %v", failed, x.fails)
			}
		})
	}
}
