package dashboard

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/admin"
	"sluice/pkg/backend"
	"sluice/pkg/history"
)

// TestFiles holds the files to what is promised: few bytes, nothing from
// elsewhere, nothing that is read as HTML, nothing that the policy forbids.
func TestFiles(t *testing.T) {
	t.Parallel()
	s, err := NewStatic()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files of %d bytes compressed", len(s.files), s.Size())
	if s.Size() > 250_000 {
		t.Errorf("all files are %d bytes compressed; at most 250,000 may be", s.Size())
	}
	forbidden := map[string]*regexp.Regexp{
		"what is read as HTML":  regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc`),
		"what is run from text": regexp.MustCompile(`\beval\(|new Function|setTimeout\("`),
		"another origin":        regexp.MustCompile(`https?://(?:[^w]|w[^w])`), // but for the name of SVG's namespace
		"a style of its own":    regexp.MustCompile(`<style|style="|setAttribute\("style"`),
		"a script of its own":   regexp.MustCompile(`<script>|<[^>]+ on\w+=|javascript:`),
	}
	err = fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := embedded.ReadFile(name)
		for what, re := range forbidden {
			if m := re.Find(text); m != nil {
				t.Errorf("%s has %s: %s", name, what, m)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	s, err := NewStatic()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string, header ...string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result()
	}
	f := func(path string, code int, kind string) *http.Response {
		t.Helper()
		resp := ask(path)
		if resp.StatusCode != code || kind != "" && !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) {
			t.Fatalf("unexpected answer to %s: %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		return resp
	}
	index := f("/dashboard/", 200, "text/html")
	for _, d := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
		if p := index.Header.Get("Content-Security-Policy"); !strings.Contains(p, d) || strings.Contains(p, "unsafe") {
			t.Fatalf("unexpected policy: %s", p)
		}
	}
	f("/dashboard/app.js", 200, "text/javascript")
	f("/dashboard/style.css", 200, "text/css")
	f("/dashboard/icon.svg", 200, "image/svg+xml")
	f("/dashboard", 301, "")
	for _, path := range []string{"/dashboard/none.js", "/dashboard/../doc.go", "/dashboard/static/app.js", "/dashboard/app.js/"} {
		f(path, 404, "")
	}
	if got := ask("/dashboard/app.js", "If-None-Match", index.Header.Get("ETag")); got.StatusCode != 200 {
		t.Fatalf("unexpected status by another file's tag: %d", got.StatusCode)
	}
	if got := ask("/dashboard/", "If-None-Match", index.Header.Get("ETag")); got.StatusCode != 304 {
		t.Fatalf("unexpected status by its own tag: %d", got.StatusCode)
	}
	plain, _ := io.ReadAll(index.Body)
	for accept, want := range map[string]bool{"gzip, deflate, br": true, "br;q=1, gzip;q=0.5": true, "gzip;q=0": false, "identity": false, "x-gzip": false} {
		resp := ask("/dashboard/", "Accept-Encoding", accept)
		if got := resp.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Fatalf("unexpected encoding for %q: %q", accept, resp.Header.Get("Content-Encoding"))
		}
		if !want {
			continue
		}
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(z); err != nil || string(text) != string(plain) {
			t.Fatalf("unexpected text: %v", err)
		}
	}
}

// source is a run with one service.
func source() (Source, *backend.Pool) {
	pool := backend.NewPool("web<b>")
	pool.Set([]backend.Target{{ID: "a", Address: "127.0.0.1:1", Weight: 1}, {ID: "b\"", Address: "127.0.0.1:2", Weight: 3}})
	return Source{
		Version: "v1", Started: time.Now(), Services: func() []admin.Service { return []admin.Service{{Pool: pool}, {Pool: pool}} },
		Ready: func() admin.Readiness { return admin.Readiness{Ready: true} }, History: history.New(time.Now()),
	}, pool
}

// shown is a frame as a page reads it.
type shown struct {
	At       int64
	Whole    bool
	About    map[string]any
	Services map[string]map[string]any
	Backends map[string]map[string]map[string]any
	Counts   map[string]map[string][]any
}

// TestFrames applies frames one after the other, as a page does, and compares
// with all there is.
func TestFrames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, pool := source()
		h := newHub(src)
		decode := func(b []byte) (s shown) {
			t.Helper()
			if err := json.Unmarshal(b, &s); err != nil {
				t.Fatalf("no JSON: %v: %s", err, b)
			}
			return s
		}
		if !h.join() {
			t.Fatal("no place for the first viewer")
		}
		left := false
		leave := func() {
			if !left {
				left = true
				h.leave()
			}
		}
		defer leave()
		all, n := h.whole(time.Now())
		page := decode(all)
		if len(page.Backends["web<b>"]) != 2 || page.About["version"] != "v1" {
			t.Fatalf("unexpected frame: %s", all)
		}
		change := []func(){
			func() {},
			func() { pool.Snapshot().All[0].Acquire() },
			func() {
				pool.Snapshot().All[1].SetCondition(backend.Condition{State: backend.Down, Signal: "tcp check", Streak: 3})
			},
			func() {
				pool.Set([]backend.Target{{ID: "a", Address: "127.0.0.1:1", Weight: 7}, {ID: "c", Address: "127.0.0.1:3", Weight: 1}})
			},
			func() { pool.Set(nil) },
		}
		for i, f := range change {
			f()
			_, _, more, _ := h.after(n)
			<-more
			b, number, _, ok := h.after(n)
			if !ok || number != n+1 {
				t.Fatalf("unexpected frame %d after %d", number, n)
			}
			n = number
			next := decode(b)
			if next.Whole || i == 0 && (len(next.Backends) > 0 || len(next.Counts) > 0 || len(next.Services) > 0 || next.About != nil) {
				t.Fatalf("a frame has what did not change: %s", b)
			}
			for name, s := range next.Services {
				page.Services[name] = s
			}
			for name, m := range next.Backends {
				for id, x := range m {
					if page.Backends[name][id] = x; x == nil {
						delete(page.Backends[name], id)
					}
				}
			}
			for name, m := range next.Counts {
				for id, x := range m {
					if page.Counts[name][id] = x; x == nil {
						delete(page.Counts[name], id)
					}
				}
			}
			for name := range page.Backends { // a service without backends is not among them
				if len(page.Backends[name]) == 0 {
					delete(page.Backends, name)
					delete(page.Counts, name)
				}
			}
			whole, _ := h.whole(time.Now())
			want := decode(whole)
			for _, pair := range [][2]any{{page.Services, want.Services}, {page.Backends, want.Backends}, {page.Counts, want.Counts}} {
				if got, want := encode(pair[0]), encode(pair[1]); got != want {
					t.Fatalf("unexpected page after change %d; got %s; want %s", i, got, want)
				}
			}
		}
		if _, _, _, ok := h.after(n - 3); ok {
			t.Fatal("who is far behind is not told to begin anew")
		}
		leave()
		if h.parts != nil || h.frame != nil {
			t.Fatal("something is kept for nobody")
		}
	})
}

// TestNobodyLooks counts readings: none while nobody looks, one a second for all.
func TestNobodyLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, _ := source()
		var readings atomic.Int32 // by the hub's goroutine and this one
		services := src.Services
		src.Services = func() []admin.Service { readings.Add(1); return services() }
		h := newHub(src)
		time.Sleep(time.Minute)
		if n := readings.Load(); n != 0 {
			t.Fatalf("%d readings for nobody", n)
		}
		for range maxViewers {
			if !h.join() {
				t.Fatal("no place")
			}
			h.whole(time.Now())
		}
		if h.join() {
			t.Fatal("more viewers than may be")
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if n := readings.Load(); n < 9 || n > 12 {
			t.Fatalf("unexpected number of readings in 10 s: %d", n)
		}
		for range maxViewers {
			h.leave()
		}
		readings.Store(0)
		time.Sleep(time.Minute)
		if n := readings.Load(); n > 1 {
			t.Fatalf("%d readings after all have left", n)
		}
		if !h.join() {
			t.Fatal("no place after all have left")
		}
		h.leave()
	})
}

// TestLive reads the stream over HTTP, and asks once.
func TestLive(t *testing.T) {
	t.Parallel()
	src, pool := source()
	server := httptest.NewServer(NewLive(src))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var once shown
	if err := json.NewDecoder(resp.Body).Decode(&once); err != nil || !once.Whole {
		t.Fatalf("unexpected answer: %v, %+v", err, once)
	}
	resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil) // the URL is a good one
	req.Header.Set("Accept", "text/event-stream")
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("unexpected type %q", kind)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for n := 0; n < 3 && lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var s shown
		if err := json.Unmarshal([]byte(data), &s); err != nil || s.Whole != (n == 0) {
			t.Fatalf("unexpected frame %d: %v: %s", n, err, data)
		}
		if n == 2 && s.Backends["web<b>"]["z"]["address"] != "127.0.0.1:9" {
			t.Fatalf("a change is not in the next frame: %s", data)
		}
		if n++; n == 2 {
			pool.Set([]backend.Target{{ID: "z", Address: "127.0.0.1:9", Weight: 1}})
		}
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
}

// BenchmarkFrame makes frames of 1,000 busy backends.
func BenchmarkFrame(b *testing.B) {
	pool := backend.NewPool("web")
	var targets []backend.Target
	for i := range 1000 {
		targets = append(targets, backend.Target{ID: fmt.Sprint(i), Address: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), Weight: 1})
	}
	pool.Set(targets)
	src, _ := source()
	src.Services = func() []admin.Service { return []admin.Service{{Pool: pool}} }
	before := src.read(0)
	for b.Loop() {
		for _, x := range pool.Snapshot().All {
			x.Acquire()
			x.Release()
		}
		next := src.read(1)
		b.SetBytes(int64(len(frame(&before, next, time.Now()))))
		before = next
	}
}
