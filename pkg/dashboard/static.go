package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var embedded embed.FS

// Policy is the Content-Security-Policy of the page: what comes from here, and
// nothing that is written into the page itself.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// file is an embedded file, ready to be sent.
type file struct {
	kind        string // Content-Type
	tag         string // ETag
	plain, gzip []byte
}

// Static answers with the files of the page.
type Static struct{ files map[string]file }

// NewStatic reads and compresses the files.
func NewStatic() (*Static, error) {
	kinds := map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	s := &Static{files: make(map[string]file)}
	err := fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		kind, ok := kinds[path.Ext(name)]
		if !ok {
			return fmt.Errorf("%s is of no known kind", name)
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a good one
		_, _ = z.Write(text)                                  // to memory
		_ = z.Close()
		sum := sha256.Sum256(text)
		s.files[strings.TrimPrefix(name, "static/")] = file{kind: kind, tag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: text, gzip: b.Bytes()}
		return nil
	})
	return s, err
}

// Size returns how many bytes all files are compressed.
func (s *Static) Size() (n int) {
	for _, f := range s.files {
		n += len(f.gzip)
	}
	return n
}

// ServeHTTP answers with the file that the path names below /dashboard/.
func (s *Static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, below := strings.CutPrefix(r.URL.Path, "/dashboard/")
	if !below {
		http.Redirect(w, r, "/dashboard/", http.StatusMovedPermanently)
		return
	}
	if name == "" {
		name = "index.html"
	}
	f, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // asked again each time, answered by the tag
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.tag)
	if strings.Contains(r.Header.Get("If-None-Match"), f.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	body := f.plain
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a failure is the client's own
}

// acceptsGzip reads an Accept-Encoding, as far as browsers write one.
func acceptsGzip(header string) bool {
	for _, part := range strings.Split(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(strings.TrimPrefix(strings.TrimSpace(weight), "q="), "0.") != "" || weight == ""
		}
	}
	return false
}
