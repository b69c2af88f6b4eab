package admin

import (
	"compress/gzip"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// readProfile unpacks a profile, a gzipped protocol buffer, and returns its
// string table (field 6) and how many samples (field 2) it has.
func readProfile(t *testing.T, body string) (table []string, samples int) {
	t.Helper()
	zr, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatalf("cannot unpack %.100q: %v", body, err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	varint := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			t.Fatal("a number is cut short")
		}
		b = b[n:]
		return v
	}
	for len(b) > 0 {
		key := varint()
		switch key & 7 {
		case 0:
			varint()
		case 2:
			size := varint()
			if size > uint64(len(b)) {
				t.Fatal("a field is cut short")
			}
			switch key >> 3 {
			case 2:
				samples++
			case 6:
				table = append(table, string(b[:size]))
			}
			b = b[size:]
		default:
			t.Fatalf("unexpected wire type in key %d", key)
		}
	}
	return table, samples
}

func TestHeapProfile(t *testing.T) {
	t.Parallel()
	got := get(t, start(t, Config{}), "/debug/pprof/heap")
	if got.code != 200 {
		t.Fatalf("unexpected status %d: %s", got.code, got.body)
	}
	table, samples := readProfile(t, got.body)
	for _, want := range []string{"", "inuse_space", "bytes"} {
		found := false
		for _, s := range table {
			found = found || s == want
		}
		if !found {
			t.Fatalf("no %q among the profile's strings", want)
		}
	}
	t.Logf("%d samples", samples)
}

func TestProfilesByName(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	f := func(path, want string) {
		t.Helper()
		if got := get(t, s, "/debug/pprof/"+path); got.code != 200 || !strings.Contains(got.body, want) {
			t.Fatalf("unexpected answer to %s; got %d %.200q; want %q in it", path, got.code, got.body, want)
		}
	}
	f("", "goroutine")
	f("goroutine?debug=2", "ServeHTTP")
	f("allocs?debug=1", "heap profile")
	f("block?debug=1", "contention")
	f("mutex?debug=1", "mutex")
	f("threadcreate?debug=1", "threadcreate")
	f("symbol", "num_symbols: 1")
	f("trace?seconds=0.01", "trace")
	if got := get(t, s, "/debug/pprof/cmdline"); got.body != os.Args[0] {
		t.Fatalf("unexpected command line %q; want the program only", got.body)
	}
}

// TestCPUProfile is serial: the runtime takes one at a time.
func TestCPUProfile(t *testing.T) {
	got := get(t, start(t, Config{}), "/debug/pprof/profile?seconds=1")
	if got.code != 200 {
		t.Fatalf("unexpected status %d: %s", got.code, got.body)
	}
	readProfile(t, got.body)
}

func TestProfileSeconds(t *testing.T) {
	t.Parallel()
	f := func(query, want string) {
		t.Helper()
		var p profiles
		called := false
		h := p.timed(func(_ http.ResponseWriter, r *http.Request) {
			called = true
			if got := r.FormValue("seconds"); got != want {
				t.Fatalf("unexpected seconds with %q; got %q; want %q", query, got, want)
			}
		}, true)
		h(httptest.NewRecorder(), httptest.NewRequest("GET", "/debug/pprof/profile"+query, nil))
		if !called {
			t.Fatal("the handler was not called")
		}
	}
	f("", "")
	f("?seconds=5", "5")
	f("?seconds=0.5", "0.5")
	f("?seconds=60", "60")
	f("?seconds=61", "60")
	f("?seconds=1e9", "60")
	f("?seconds=NaN", "60")
	f("?seconds=Inf", "60")
	f("?seconds=-1", "-1")
	f("?seconds=x", "x")
	f("?seconds=99&debug=1", "60")
}

// TestOneProfileAtATime begins requests while another is being answered.
func TestOneProfileAtATime(t *testing.T) {
	t.Parallel()
	var p profiles
	call := func(h http.HandlerFunc, path string) int {
		w := httptest.NewRecorder()
		h(w, httptest.NewRequest("GET", path, nil))
		return w.Code
	}
	nothing := func(http.ResponseWriter, *http.Request) {}
	busy := p.timed(func(http.ResponseWriter, *http.Request) {
		if code := call(p.timed(nothing, true), "/debug/pprof/trace"); code != http.StatusConflict {
			t.Errorf("unexpected status of a second profile; got %d; want 409", code)
		}
		if code := call(p.timed(nothing, false), "/debug/pprof/heap?seconds=1"); code != http.StatusConflict {
			t.Errorf("unexpected status of a profile with seconds; got %d; want 409", code)
		}
		if code := call(p.timed(nothing, false), "/debug/pprof/heap"); code != http.StatusOK {
			t.Errorf("unexpected status of a profile that takes no time; got %d; want 200", code)
		}
	}, true)
	call(busy, "/debug/pprof/profile")
	if code := call(p.timed(nothing, true), "/debug/pprof/profile"); code != http.StatusOK {
		t.Fatalf("unexpected status after the first; got %d; want 200", code)
	}
}
