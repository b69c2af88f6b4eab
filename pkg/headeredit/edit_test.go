package headeredit

import (
	"strings"
	"testing"
)

// values answers with the name of the variable.
type values struct{}

func (values) AppendVariable(dst []byte, v Variable, name string) []byte {
	return append(append(append(dst, v.String()...), '/'), name...)
}

func TestApply(t *testing.T) { // counts allocations, so not in parallel
	const head = "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx_a: 2\r\nX-Ab: 3\r\nServer: s\r\n\r\n"
	f := func(m Message, want string, specs ...string) {
		t.Helper()
		var es Edits
		for _, s := range specs {
			e, err := Parse(s, m)
			if err != nil {
				t.Fatalf("%q: %v", s, err)
			}
			if got := e.String(); got != s {
				t.Errorf("unexpected round trip; got %q; want %q", got, s)
			}
			es = append(es, e)
		}
		if got := string(es.Apply([]byte(head), m, values{})); got != want {
			t.Errorf("unexpected head after %q; got %q; want %q", specs, got, want)
		}
		roomy := append(make([]byte, 0, 4096), head...)
		if n := testing.AllocsPerRun(100, func() { es.Apply(append(roomy[:0], head...), m, values{}) }); n > 0 {
			t.Errorf("unexpected allocations of %q: %v", specs, n)
		}
	}
	f(Request, head)
	f(Request, strings.Replace(head, "X-A: 1\r\nx_a: 2\r\n", "", 1), "remove:x-a")
	f(Response, strings.Replace(head, "X-A: 1\r\n", "", 1), "remove:x-a")
	f(Request, strings.Replace(head, "X-A: 1\r\nx_a: 2\r\nX-Ab: 3\r\n", "", 1), "remove:X-A*")
	f(Request, head, "remove:X", "remove:Serve")
	f(Request, "GET / HTTP/1.1\r\nHost: a\r\nX-Ab: 3\r\nServer: s\r\nX-A: new\r\n\r\n", "set:X-A: new")
	f(Request, strings.TrimSuffix(head, "\r\n")+"X-A: \r\n\r\n", "add:X-A:")
	f(Response, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx_a: 2\r\nX-Ab: 3\r\nServer: t\r\nVia: client/ header/x-y $x\r\n\r\n",
		"add:Server: u", "set:Server: t", "set:Via: ${client} ${header.x-y} $$x")
	f(Response, "GET / HTTP/1.1\r\n\r\n", "remove:Host", "remove:X*", "remove:x_a", "remove:Server")
}

func TestParseFailure(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                         "is none of set",
		"X: y":                     "is none of set",
		"set:X":                    "is none of set",
		"remove:X: y":              "is none of set",
		"replace:X: y":             "is none of set",
		"set:: y":                  "is not the name",
		"set:X Y: z":               "is not the name",
		"set:X*:y\r\nEvil: 1":      "control character",
		"remove:*":                 "is not the name",
		"set:Content-Length: 5":    "frames",
		"set:content_length: 5":    "frames",
		"add:Transfer-Encoding: x": "frames",
		"remove:Connection":        "frames",
		"remove:Con*":              "frames",
		"remove:T*":                "frames",
		"set:Upgrade: x":           "frames",
		"set:Host: x":              "rewrite-host=",
		"remove:Ho*":               "rewrite-host=",
		"set:X: $foo":              "$foo is not known",
		"set:X: ${client":          "not closed",
		"set:X: ${header.a b}":     "is not known",
		"set:X: $":                 "is not known",
	} {
		if e, err := Parse(spec, Request); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("unexpected result of %q; got %v, %v; want an error with %q", spec, e, err, want)
		}
	}
	if _, err := Parse("set:Host: x", Response); err != nil {
		t.Errorf("unexpected error of a response's Host: %v", err)
	}
	if e, err := Parse("del:Server", Response); err != nil || e.String() != "remove:Server" {
		t.Errorf("unexpected result of del: %v, %v", e, err)
	}
	for v := none + 1; v < Header; v++ {
		if e, err := Parse("set:X: a$"+v.String()+"-", Request); err != nil || e.String() != "set:X: a${"+v.String()+"}-" {
			t.Errorf("unexpected result of %v: %v, %v", v, e, err)
		}
	}
}
