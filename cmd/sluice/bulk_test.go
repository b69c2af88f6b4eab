package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
)

// zeros yields zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestBulkMemory moves large bodies through HTTP both ways, with and without a
// known length: 100 MB each, or as many bytes as SLUICE_TEST_BULK says. The
// process must not grow with them.
func TestBulkMemory(t *testing.T) {
	t.Parallel()
	size := int64(100 << 20)
	if s := os.Getenv("SLUICE_TEST_BULK"); s != "" {
		var err error
		if size, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if r.Method == "POST" && (n != size || err != nil) {
			t.Errorf("the backend got %d bytes, %v", n, err)
		}
		if r.Method == "GET" {
			if r.URL.RawQuery == "length" {
				w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
			}
			_, _ = io.CopyN(w, zeros{}, size)
		}
	}))
	t.Cleanup(backend.Close)
	s := startSluice(t, backendArgs([]string{backend.Listener.Addr().String()})...)
	url, admin := "http://"+s.addr("l7")+"/", s.addr("admin")
	rss := metric(admin, "process_resident_memory_bytes")
	if rss < 0 {
		t.Skip("this system does not tell of memory")
	}
	for _, query := range []string{"?length", "?chunked"} {
		req, err := http.NewRequest("POST", url+query, io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		if query == "?length" {
			req.ContentLength = size
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp, err = http.Get(url + query); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if n != size || err != nil {
			t.Fatalf("unexpected body of %d bytes, %v", n, err)
		}
	}
	if now := metric(admin, "process_resident_memory_bytes"); now > rss+16<<20 {
		t.Errorf("unexpected memory after %d MB; got %.0f MB; had %.0f MB", 4*size>>20, now/(1<<20), rss/(1<<20))
	}
}
