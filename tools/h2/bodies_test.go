package h2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// TestBodies has bodies of requests be framed anew, and what says one length and
// has another not be one.
func TestBodies(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	addr := sluice(t, []string{r.addr}, "--service", "web,check=none").addr("l7")
	type part struct {
		data string
		end  bool
	}
	large := strings.Repeat("0123456789abcdef", 1024)
	for name, x := range map[string]struct {
		fields  []string
		parts   []part
		trailer []string
		want    string // a status, or malformed
		sees    string // what its request has
	}{
		"sized":              {[]string{"content-length", "5"}, []part{{"hello", true}}, nil, "200", "\r\n\r\nhello"},
		"sized, end apart":   {[]string{"content-length", "5"}, []part{{"hello", false}, {"", true}}, nil, "200", "\r\n\r\nhello"},
		"by bytes":           {[]string{"content-length", "3"}, []part{{"a", false}, {"b", false}, {"c", true}}, nil, "200", "\r\n\r\nabc"},
		"unsized":            {nil, []part{{"hello", true}}, nil, "200", "hello"},
		"large":              {[]string{"content-length", "16384"}, []part{{large, true}}, nil, "200", large},
		"empty":              {nil, []part{{"", true}}, nil, "200", "\r\n\r\n"},
		"trailers":           {nil, []part{{"hello", false}}, []string{"x-end", "yes"}, "200", "x-end: yes\r\n\r\n"},
		"trailer pseudo":     {nil, []part{{"hello", false}}, []string{":path", "/evil"}, malformed, ""},
		"trailer line":       {nil, []part{{"hello", false}}, []string{"x", "a\r\nb"}, malformed, ""},
		"trailer case":       {nil, []part{{"hello", false}}, []string{"X", "a"}, malformed, ""},
		"trailer hop":        {nil, []part{{"hello", false}}, []string{"connection", "a"}, malformed, ""},
		"trailer encoding":   {nil, []part{{"hello", false}}, []string{"transfer-encoding", "chunked"}, malformed, ""},
		"sized trailers":     {[]string{"content-length", "5"}, []part{{"hello", false}}, []string{"x-end", "yes"}, "200", "\r\n\r\nhello"},
		"too short":          {[]string{"content-length", "6"}, []part{{"hello", true}}, nil, malformed, ""},
		"too long":           {[]string{"content-length", "4"}, []part{{"hello", true}}, nil, malformed, ""},
		"longer":             {[]string{"content-length", "5"}, []part{{"hello", false}, {"GET /evil HTTP/1.1\r\n\r\n", true}}, nil, malformed, ""},
		"nothing and more":   {[]string{"content-length", "0"}, []part{{"GET /evil HTTP/1.1\r\n\r\n", true}}, nil, malformed, ""},
		"nothing, end apart": {[]string{"content-length", "0"}, []part{{"", true}}, nil, "200", "\r\n\r\n"},
		"short by trailers":  {[]string{"content-length", "6"}, []part{{"hello", false}}, []string{"x-end", "yes"}, malformed, ""},
		"chunks":             {nil, []part{{"0\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n", true}}, nil, "200", "0\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "/" + strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")
			w := dialWire(t, addr)
			w.open(1, false, append(head("POST", path), x.fields...)...)
			for _, p := range x.parts {
				if w.WriteData(1, p.end, []byte(p.data)) != nil {
					break // it was reset
				}
			}
			if x.trailer != nil {
				w.ok(w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(x.trailer...), EndStream: true, EndHeaders: true}))
			}
			a := w.wait(1)
			if x.want == malformed && (!a.reset || a.code != http2.ErrCodeProtocol) || x.want != malformed && a.status() != x.want {
				t.Errorf("unexpected end: %q, reset %v, %v, %+v", a.status(), a.reset, a.code, w.end)
			}
			if evil := r.all("GET /evil HTTP/1.1\r\n"); len(evil) > 0 && strings.HasPrefix(evil[0], "GET /evil") {
				t.Errorf("a body became a request: %q", evil)
			}
			if x.want == malformed {
				return
			}
			all := r.all("POST " + path + " ")
			if len(all) != 1 || !strings.Contains(all[0], x.sees) {
				t.Errorf("unexpected request at the backend: %q", all)
			}
		})
	}
}
