package h2

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// sized answers with as many bytes as the path says, and says nothing to a body
// that it is told to leave.
func sized(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/stuck" {
		select { // and reads nothing
		case <-r.Context().Done():
		case <-time.After(2 * patience):
		}
		return
	}
	if r.Method == http.MethodPost {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
		return
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if r.URL.RawQuery == "sized" {
		w.Header().Set("Content-Length", strconv.Itoa(n))
	}
	piece := strings.Repeat("x", 1<<14)
	for n > 0 {
		k, err := io.WriteString(w, piece[:min(n, len(piece))])
		if n -= k; err != nil {
			return
		}
		if r.URL.RawQuery == "" {
			w.(http.Flusher).Flush()
		}
	}
}

// fronts start a program for each protocol of backends.
func fronts(t *testing.T, f func(t *testing.T, s *process)) {
	b := goBackend(t, sized)
	for _, protocol := range []string{"http", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			f(t, sluice(t, []string{b}, "--service", "web,check=none,protocol="+protocol))
		})
	}
}

// TestWindows has a client get exactly what its windows allow, and the end of a
// response for which it has no window left.
func TestWindows(t *testing.T) {
	t.Parallel()
	fronts(t, func(t *testing.T, s *process) {
		for _, query := range []string{"", "?sized"} {
			w := dialWire(t, s.addr("l7"))
			w.open(1, true, head("GET", "/65535"+query)...)
			a := w.stream(1)
			_ = w.c.SetReadDeadline(time.Now().Add(patience))
			for !a.over() && w.step(true) == nil { // no window is given back
			}
			if a.body.Len() != 65535 || !a.ended {
				t.Errorf("unexpected end where the window ends: %d bytes, %v, %+v", a.body.Len(), a.ended, w.end)
			}

			w = dialWire(t, s.addr("l7"), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			w.open(1, true, head("GET", "/3000"+query)...)
			a = w.stream(1)
			for given := 0; given < 3000; given += 100 {
				w.ok(w.WriteWindowUpdate(1, 100))
				_ = w.c.SetReadDeadline(time.Now().Add(patience))
				for a.body.Len() < given+100 && w.step(true) == nil {
				}
				if a.body.Len() != given+100 {
					t.Fatalf("unexpected length; got %d; want %d; %+v", a.body.Len(), given+100, w.end)
				}
			}
			if w.wait(1); !a.ended {
				t.Errorf("the response does not end: %+v", w.end)
			}

			// A window that shrinks below what was sent of it.
			w = dialWire(t, s.addr("l7"))
			w.open(1, true, head("GET", "/200000"+query)...)
			a = w.stream(1)
			for _ = w.c.SetReadDeadline(time.Now().Add(patience)); a.body.Len() < 65535 && w.step(true) == nil; {
			}
			w.ok(w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}))
			w.ok(w.WriteWindowUpdate(0, 1<<20))
			w.ok(w.WriteWindowUpdate(1, 65524))
			w.ok(w.WritePing(false, [8]byte{1}))
			acks := len(w.stream(0).frames)
			for w.step(true) == nil && !strings.Contains(strings.Join(w.stream(0).frames[acks:], " "), "PING") {
			}
			if a.body.Len() != 65535 {
				t.Errorf("DATA came beyond a negative window: %d", a.body.Len())
			}
			w.ok(w.WriteWindowUpdate(1, 200000))
			if w.wait(1); a.body.Len() != 200000 || !a.ended {
				t.Errorf("unexpected end: %d, %v, %+v", a.body.Len(), a.ended, w.end)
			}
		}
	})
}

// TestSlowReaders has a client that does not read some responses get others, and
// one whose uploads nobody reads send others.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	fronts(t, func(t *testing.T, s *process) {
		w := dialWire(t, s.addr("l7"), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
		w.ok(w.WriteWindowUpdate(0, 64<<20))
		id := uint32(1)
		for ; id < 80; id += 2 {
			w.open(id, true, head("GET", "/10000000")...)
		}
		w.open(id, true, head("GET", "/3000000")...)
		w.ok(w.WriteWindowUpdate(id, 3000000))
		if a := w.wait(id); a.body.Len() != 3000000 {
			t.Errorf("unexpected length beside slow readers: %d, %+v", a.body.Len(), w.end)
		}

		// One that nobody reads, however large, and small ones, which together are more
		// than the backend takes on a connection.
		w = dialWire(t, s.addr("l7"))
		w.open(1, false, head("POST", "/stuck")...)
		for range 3 {
			w.ok(w.WriteData(1, false, make([]byte, 16384)))
		}
		w.upload(3)
		if a := w.wait(3); a.body.String() != "49155" {
			t.Errorf("unexpected response beside a stuck upload: %q, %+v", a.body.String(), w.end)
		}
		for id = 5; id < 65; id += 2 {
			w.open(id, false, head("POST", "/stuck")...)
			for range 3 {
				w.ok(w.WriteData(id, false, make([]byte, 16384)))
			}
		}
		served := false
		for begin := time.Now(); !served && time.Since(begin) < patience; id += 2 {
			w.upload(id)
			for i := 0; i < 20 && !served; i++ {
				time.Sleep(10 * time.Millisecond)
				w.ok(w.WritePing(false, [8]byte{}))
				pings := len(w.stream(0).frames)
				w.until("a PING is answered", func() bool { return strings.Contains(strings.Join(w.stream(0).frames[pings:], " "), "PING") })
				for _, a := range w.got {
					served = served || a.ended && a != w.stream(3)
				}
			}
		}
		if !served {
			t.Errorf("no upload is served beside stuck ones: %+v", w.end)
		}
	})
}

// upload opens a stream for a small upload.
func (w *wire) upload(id uint32) {
	w.t.Helper()
	w.open(id, false, head("POST", "/")...)
	for range 3 {
		w.ok(w.WriteData(id, false, make([]byte, 16384)))
	}
	w.ok(w.WriteData(id, true, []byte("end")))
}

// TestStalledMemory has what streams hold that nobody reads be bounded.
func TestStalledMemory(t *testing.T) {
	t.Parallel()
	fronts(t, func(t *testing.T, s *process) {
		addr := s.addr("l7")
		before := s.memory()
		const conns, streams = 8, 100
		for range conns {
			w := dialWire(t, addr, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
			for i := range uint32(streams) {
				w.open(2*i+1, true, head("GET", "/10000000")...)
			}
			w.until("all have begun", func() bool {
				for i := range uint32(streams) {
					if w.stream(2*i+1).body.Len() == 0 {
						return false
					}
				}
				return true
			})
		}
		const most = conns * streams * 256 << 10 * 3 / 4 // of what each may hold
		if grown := s.memory() - before; grown > most {
			t.Errorf("%d stalled streams hold %d MiB", conns*streams, grown>>20)
		} else {
			t.Logf("%d stalled streams hold %d kB each", conns*streams, grown/conns/streams>>10)
		}
	})
}

// memory returns the resident memory of a process, in bytes.
func (p *process) memory() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Skip("memory is not to be seen here: ", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n << 10
}
