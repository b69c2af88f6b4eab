package h2

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"sluice/l7/http1"
)

// FuzzRequest has no header list become more than one head of HTTP/1.1, nor one
// with other fields than it has.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "http", "a", "/", "x", "y")
	f.Add("GET", "http", "a", "/ HTTP/1.1\r\nhost: b\r\n\r\nGET /", "x", "y")
	f.Add("GET\r\nx: y", "http", "a", "/", "x", "y")
	f.Add("POST", "https", "a\r\n", "*", "transfer-encoding", "chunked")
	f.Add("POST", "https", "a", "/?\x00", "content-length", "5, 5")
	f.Add("GET", "http", "a", "/", "x\r\ny", "z\r\n\r\nGET / HTTP/1.1")
	f.Add("CONNECT", "", "a:1", "", "cookie", "a=b")
	f.Fuzz(func(t *testing.T, method, scheme, authority, path, name, value string) {
		l := list{max: 1 << 20}
		for _, x := range [][2]string{{":method", method}, {":scheme", scheme}, {":authority", authority}, {":path", path}, {name, value}} {
			if strings.HasPrefix(x[0], ":") && x[1] == "" {
				continue
			}
			l.add(hpack.HeaderField{Name: x[0], Value: x[1]})
		}
		st := &Stream{s: &Session{}}
		if why := st.setRequest(&l); why != "" {
			return
		}
		st.recvEnd = true
		st.makeReady()
		head := st.in.text
		if n, ok := http1.ScanHead(head, 0); !ok || n != len(head) {
			t.Fatalf("not one head: %q", head)
		}
		if lines := bytes.Count(head, []byte("\n")); lines > 5 {
			t.Fatalf("%d lines out of 5 fields: %q", lines, head)
		}
		var h http1.Head
		if fault, _ := h.Parse(head); fault != 0 {
			return
		}
		for _, x := range h.Fields {
			switch low := strings.ToLower(string(x.Name)); low {
			case "host", "content-length":
			default:
				if low != name || string(x.Value) != value {
					t.Fatalf("field %q: %q out of %q: %q", x.Name, x.Value, name, value)
				}
			}
		}
	})
}

// TestEncoder has what it makes read as it was meant.
func TestEncoder(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long value; ", 50)
	want := []hpack.HeaderField{
		{Name: ":status", Value: "200"}, {Name: ":status", Value: "418"}, {Name: ":path", Value: "/a?b"},
		{Name: "content-type", Value: "text/plain"}, {Name: "x-own", Value: long}, {Name: "x-bin", Value: "\xff\x00"[:1]}, {Name: "via", Value: ""},
		{Name: "set-cookie", Value: strings.Repeat("a", 5000)},
	}
	e := &encoder{}
	e.status([]byte("200"))
	e.status([]byte("418"))
	e.pseudo(indexPath, []byte("/a?b"))
	for _, f := range want[3:] {
		e.field([]byte(strings.ToUpper(f.Name)), []byte(f.Value))
	}
	got, err := hpack.NewDecoder(4096, nil).DecodeFull(e.b)
	if err != nil || len(got) != len(want) {
		t.Fatalf("unexpected fields: %v, %v", got, err)
	}
	for i, f := range got {
		if f.Name != want[i].Name || f.Value != want[i].Value {
			t.Errorf("unexpected field %v; want %v", f, want[i])
		}
	}
	for i := 15; i <= 61; i++ { // as the table has them
		d := hpack.NewDecoder(4096, nil)
		f, err := d.DecodeFull([]byte{0x80 | byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		if j := staticIndex([]byte(f[0].Name)); j != i && f[0].Name != "transfer-encoding" {
			t.Errorf("%q is at %d of the table, not at %d", f[0].Name, i, j)
		}
	}
}

// TestEscape has messages be what gRPC lets be in a header.
func TestEscape(t *testing.T) {
	t.Parallel()
	if got := escape("100% sure\nä"); got != "100%25 sure%0A%C3%A4" {
		t.Errorf("unexpected message: %q", got)
	}
}
