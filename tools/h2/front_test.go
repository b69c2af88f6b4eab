package h2

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// sluice starts the program with an HTTP listener that speaks HTTP/2 without TLS,
// and a service "web" of the backends.
func sluice(t *testing.T, backends []string, args ...string) *process {
	t.Helper()
	all := []string{"--l7", "127.0.0.1:0,h2c=true", "--route", "/=web", "--admin", "127.0.0.1:0"}
	for _, b := range backends {
		all = append(all, "--backend", "web="+b)
	}
	return start(t, "sluice", append(all, args...)...)
}

// get returns the fields of a GET, with some of them set otherwise: a value of "-"
// leaves one out, and what is no field of it yet comes behind.
func get(changes ...string) []string {
	h := head("GET", "/x")
	for i := 0; i < len(changes); i += 2 {
		h = set(h, changes[i], changes[i+1])
	}
	return h
}

func set(h []string, name, value string) []string {
	for j := 0; j < len(h); j += 2 {
		if h[j] != name {
			continue
		}
		if value == "-" {
			return append(h[:j:j], h[j+2:]...)
		}
		h[j+1] = value
		return h
	}
	return append(h, name, value)
}

// malformed says that a request is reset with PROTOCOL_ERROR.
const malformed = "malformed"

// TestHeads has heads of requests be mapped to HTTP/1.1, or refused: nothing of a
// field becomes a line of its own, and what is malformed no backend hears of.
func TestHeads(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	addr := sluice(t, []string{r.addr}, "--service", "web,check=none").addr("l7")
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprint("x-", i), "v")
	}
	for name, x := range map[string]struct {
		head []string
		want string // a status, or malformed
		sees string // what the backend sees, in the lines of its request
	}{
		"plain":                {get(), "200", "GET /x HTTP/1.1|host: a.example"},
		"no authority":         {get(":authority", "-"), "400", ""},
		"host alone":           {get(":authority", "-", "host", "h.example"), "200", "host: h.example"},
		"host as well":         {get("host", "a.example"), "200", "host: a.example"},
		"host in another case": {get("host", "A.Example"), "200", "host: a.example"},
		"another host":         {get("host", "b.example"), malformed, ""},
		"two hosts":            {append(get("host", "a.example"), "host", "a.example"), malformed, ""},
		"user":                 {get(":authority", "user@a.example"), malformed, ""},
		"user in the host":     {get(":authority", "-", "host", "user@a.example"), malformed, ""},
		"empty authority":      {get(":authority", ""), "400", ""},
		"authority with path":  {get(":authority", "a/b"), malformed, ""},
		"authority with blank": {get(":authority", "a b"), malformed, ""},
		"authority with line":  {get(":authority", "a\r\nx: y"), malformed, ""},
		"port":                 {get(":authority", "a.example:8080"), "200", "host: a.example:8080"},
		"v6":                   {get(":authority", "[::1]:80"), "200", "host: [::1]:80"},

		"no method":        {get(":method", "-"), malformed, ""},
		"empty method":     {get(":method", ""), malformed, ""},
		"method line":      {get(":method", "GET / HTTP/1.1\r\nx: y"), malformed, ""},
		"method blank":     {get(":method", "GET /"), malformed, ""},
		"unknown method":   {get(":method", "BREW"), "200", "BREW /x HTTP/1.1"},
		"TRACE":            {get(":method", "TRACE"), "405", ""},
		"CONNECT":          {[]string{":method", "CONNECT", ":authority", "a:1"}, "405", ""},
		"CONNECT path":     {get(":method", "CONNECT"), malformed, ""},
		"CONNECT nowhere":  {[]string{":method", "CONNECT"}, malformed, ""},
		"protocol of GET":  {get(":protocol", "websocket"), malformed, ""},
		"no scheme":        {get(":scheme", "-"), malformed, ""},
		"two schemes":      {append([]string{":scheme", "http"}, get()...), malformed, ""},
		"scheme as a line": {get(":scheme", "http://b/?x="), malformed, ""},
		"https":            {get(":scheme", "https"), "200", "X-Forwarded-Proto: http"},

		"no path":        {get(":path", "-"), malformed, ""},
		"empty path":     {get(":path", ""), malformed, ""},
		"relative":       {get(":path", "x"), malformed, ""},
		"absolute":       {get(":path", "http://b/x"), malformed, ""},
		"path and line":  {get(":path", "/ HTTP/1.1\r\nx: y\r\n\r\nGET /z"), malformed, ""},
		"path blank":     {get(":path", "/a b"), malformed, ""},
		"path tab":       {get(":path", "/a\tb"), malformed, ""},
		"path NUL":       {get(":path", "/a\x00b"), malformed, ""},
		"fragment":       {get(":path", "/a#b"), "400", ""},
		"asterisk":       {get(":path", "*"), malformed, ""},
		"OPTIONS *":      {get(":path", "*", ":method", "OPTIONS"), "200", "OPTIONS * HTTP/1.1"},
		"query":          {get(":path", "/a?b=c d"[:6]), "200", "GET /a?b=c HTTP/1.1"},
		"dots":           {get(":path", "/a/../b"), "200", "GET /b HTTP/1.1"},
		"target too big": {get(":path", "/"+strings.Repeat("a", 20000)), "414", ""},

		"late pseudo":    {append([]string{"x", "y"}, get()...), malformed, ""},
		"unknown pseudo": {append([]string{":x", "y"}, get()...), malformed, ""},
		"status":         {append([]string{":status", "200"}, get()...), malformed, ""},
		"upper case":     {get("X-A", "b"), malformed, ""},
		"empty name":     {get("", "b"), malformed, ""},
		"name blank":     {get("x ", "b"), malformed, ""},
		"name colon":     {get("x:", "b"), malformed, ""},
		"name line":      {get("x\r\ny", "b"), malformed, ""},
		"name NUL":       {get("x\x00", "b"), malformed, ""},
		"name latin":     {get("x\xe9", "b"), malformed, ""},
		"value CR":       {get("x", "a\rb"), malformed, ""},
		"value LF":       {get("x", "a\nb"), malformed, ""},
		"value NUL":      {get("x", "a\x00b"), malformed, ""},
		"value line":     {get("x", "a\r\ntransfer-encoding: chunked"), malformed, ""},
		"value blank":    {get("x", " a"), malformed, ""},
		"value blanks":   {get("x", "a\t"), malformed, ""},
		"value inside":   {get("x", "a \t b"), "200", "x: a \t b"},
		"value latin":    {get("x", "\xe9"), "200", "x: \xe9"},
		"value empty":    {get("x", ""), "200", "x: "},

		"connection":        {get("connection", "x-a"), malformed, ""},
		"keep-alive":        {get("keep-alive", "1"), malformed, ""},
		"proxy-connection":  {get("proxy-connection", "close"), malformed, ""},
		"transfer-encoding": {get("transfer-encoding", "chunked"), malformed, ""},
		"upgrade":           {get("upgrade", "websocket"), malformed, ""},
		"te trailers":       {get("te", "trailers"), "200", "TE: trailers"},
		"te":                {get("te", "gzip"), malformed, ""},

		"length of nothing": {get("content-length", "0"), "200", "Content-Length: 0"},
		"length, no body":   {get("content-length", "5"), malformed, ""},
		"signed length":     {get("content-length", "+0"), malformed, ""},
		"negative length":   {get("content-length", "-1"), malformed, ""},
		"empty length":      {get("content-length", ""), malformed, ""},
		"two lengths":       {append(get("content-length", "0"), "content-length", "1"), malformed, ""},
		"huge length":       {get("content-length", "99999999999999999999"), malformed, ""},

		"cookies":    {append(get("cookie", "a=b", "x", "y"), "cookie", "c=d"), "200", "cookie: a=b; c=d"},
		"forwarded":  {get("x-forwarded-for", "1.2.3.4", "x-real-ip", "1.2.3.4"), "200", "X-Forwarded-For: 127.0.0.1|X-Real-IP: 127.0.0.1"},
		"underscore": {get("x_forwarded_for", "1.2.3.4"), "200", "X-Forwarded-For: 127.0.0.1"},
		"large":      {get("x", strings.Repeat("a", 40000)), "431", ""},
		"many":       {get(many...), "431", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dialWire(t, addr)
			h := append(x.head, "x-case", strings.ReplaceAll(name, " ", "-"))
			w.headers(1, true, block(h...))
			a := w.wait(1)
			switch {
			case x.want == malformed && (!a.reset || a.code != http2.ErrCodeProtocol), x.want != malformed && a.status() != x.want:
				t.Errorf("unexpected end: %q, reset %v, %v; want %s", a.status(), a.reset, a.code, x.want)
			}
			if x.want != malformed { // and the connection goes on
				w.open(3, true, get()...)
				if a := w.wait(3); a.status() != "200" {
					t.Errorf("the connection does not go on: %+v, %+v", a, w.end)
				}
			}
			all := r.all("x-case: " + strings.ReplaceAll(name, " ", "-") + "\r\n")
			if x.want != "200" {
				if len(all) > 0 {
					t.Errorf("the backend heard of it: %q", all)
				}
				return
			}
			if len(all) != 1 {
				t.Fatalf("the backend got %d requests: %q", len(all), all)
			}
			for _, line := range strings.Split(x.sees, "|") {
				if !strings.Contains(all[0], line+"\r\n") {
					t.Errorf("the backend got no line %q: %q", line, all[0])
				}
			}
		})
	}
}

// headers sends a header block in as many frames as it takes.
func (w *wire) headers(id uint32, end bool, b []byte) {
	w.t.Helper()
	n := min(len(b), 16384)
	w.ok(w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b[:n], EndStream: end, EndHeaders: n == len(b)}))
	for b = b[n:]; len(b) > 0; b = b[n:] {
		n = min(len(b), 16384)
		w.ok(w.WriteContinuation(id, n == len(b), b[:n]))
	}
}

// TestReplies has responses of HTTP/1.1 become those of HTTP/2, and what is none
// be told from them.
func TestReplies(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	addr := sluice(t, []string{r.addr}, "--service", "web,check=none").addr("l7")
	for name, x := range map[string]struct {
		method, path, status, body string
		field                      string // a field and its value; "!name" is not there
		broken                     bool   // the response breaks off
	}{
		"hop":              {"GET", "/hop", "200", "ok", "!x-private", false},
		"keep-alive":       {"GET", "/hop", "200", "ok", "!keep-alive", false},
		"upgrade":          {"GET", "/hop", "200", "ok", "!upgrade", false},
		"encoding":         {"GET", "/hop", "200", "ok", "!transfer-encoding", false},
		"trailers":         {"GET", "/trailers", "200", "ok", "x-end=yes", false},
		"unannounced":      {"GET", "/unannounced", "200", "ok", "x-end=yes", false},
		"trailer length":   {"GET", "/unannounced", "200", "ok", "!content-length", false},
		"cut":              {"GET", "/cut/close", "200", "half", "", true},
		"cut chunks":       {"GET", "/cutc/close", "200", "half", "", true},
		"until the end":    {"GET", "/until/close", "200", "all there is", "", false},
		"hints":            {"GET", "/hints", "200", "ok", "link=</a>", false},
		"continue":         {"GET", "/continue", "200", "ok", "", false},
		"no content":       {"GET", "/204", "204", "", "x-a=b", false},
		"not modified":     {"GET", "/304", "304", "", "etag=x", false},
		"switch":           {"GET", "/101", "502", "", "", false},
		"cookies":          {"GET", "/cookies", "200", "", "set-cookie=a=b|c=d", false},
		"latin":            {"GET", "/latin", "200", "", "x-latin=\xe9t\xe9", false},
		"two framings":     {"GET", "/smuggle", "502", "", "", false},
		"no HTTP":          {"GET", "/garbage", "502", "", "", false},
		"bad name":         {"GET", "/badname", "502", "", "", false},
		"pseudo":           {"GET", "/pseudo", "502", "", "", false},
		"upper case":       {"GET", "/upper", "200", "", "x-upper=V", false},
		"empty":            {"GET", "/empty", "200", "", "content-length=0", false},
		"blank":            {"GET", "/blank", "200", "", "", false},
		"surplus":          {"GET", "/surplus", "200", "ok", "", false},
		"head":             {"HEAD", "/", "200", "", "content-length=5", false},
		"post to the same": {"POST", "/trailers", "200", "ok", "x-end=yes", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dialWire(t, addr)
			w.open(1, true, head(x.method, x.path)...)
			a := w.wait(1)
			if a.status() != x.status || x.broken != a.reset || x.status != "502" && a.body.String() != x.body {
				t.Errorf("unexpected response: %q, %q, ended %v, reset %v %v", a.status(), a.body.String(), a.ended, a.reset, a.code)
			}
			if missing, ok := strings.CutPrefix(x.field, "!"); ok {
				if got := a.get(missing); got != "" {
					t.Errorf("unexpected field %s: %s", missing, got)
				}
			} else if k, v, ok := strings.Cut(x.field, "="); ok && a.get(k) != v {
				t.Errorf("unexpected field %s: got %q; want %q", k, a.get(k), v)
			}
		})
	}
}
