package copilot

import "testing"

func TestScrub(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		s := newScrubber(Facts{Known: []string{"10.0.0.4:80", "[2001:db8::4]:80", "web.example:80"}, Secrets: []string{"hunter22", "hunter22-and-more", "abc"}})
		if got := s.text(text); got != want {
			t.Errorf("unexpected text; got %q; want %q", got, want)
		}
		if (s.left > 0) != (text != want) {
			t.Errorf("unexpected count for %q: %d", text, s.left)
		}
	}
	same := func(text string) { t.Helper(); f(text, text) }
	// Secrets that are known, the longest first; too short a one is in every word.
	f("hunter22-and-more hunter22", "[left out] [left out]")
	same("abcdef")
	// Addresses: backends' and listeners' are told, all others may be clients'.
	same("10.0.0.4:80 is slow; dial tcp 10.0.0.4:80: connect: connection refused; [2001:db8::4]:80")
	f("from 192.0.2.7:5555 to 10.0.0.4:80", "from [an address]:5555 to 10.0.0.4:80")
	f("read tcp 192.0.2.7:5555->10.0.0.4:80: i/o timeout", "read tcp [an address]:5555->10.0.0.4:80: i/o timeout")
	f("client 2001:db8::7: refused", "client [an address]: refused")
	f("[2001:db8::7]:443 and ::ffff:192.0.2.7", "[[an address]]:443 and [an address]")
	f("tcp:80:192.0.2.7:5 and ::ffff:10.0.0.4", "tcp:80:[an address]:5 and ::ffff:10.0.0.4")
	f("networks 192.0.2.0/24", "networks [an address]/24")
	same("0.0.0.0:80 and [::]:80 listen")
	same("at 12:34:56, 2030-01-02T03:04:05Z, version 1.2.3, 99.9 %")
	// Secrets by their names and forms.
	f("Authorization: Bearer abcdef0123456789", "Authorization: [left out]")
	f("authorization=Basic dXNlcjpwYXNz rest", "authorization=[left out] rest")
	f("Cookie: a=1; b=2", "Cookie: [left out]")
	f(`set-cookie: "x=y; Path=/"`, `set-cookie: [left out]`)
	f("http:/health?token=s3cr3t&x=1", "http:/health?token=[left out]&x=1")
	f("password = 'correct horse'", "password = [left out]")
	f(`{"api_key":"v"}`, `{"api_key":[left out]}`)
	f("X-Consul-Token: 1234", "X-Consul-Token: [left out]")
	f("postgres://user:pass@db.example/x", "postgres://[left out]db.example/x")
	f("sk-ant-api03-abcdefghijk and AKIAIOSFODNN7EXAMPLE and ghp_0123456789abcdef", "[left out] and [left out] and [left out]")
	f("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "[left out]")
	f("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- after", "[left out] after")
	f("it says bearer abcdefgh12345", "it says bearer [left out]")
	// Values of headers.
	f("X-Debug: on for all", "X-Debug: [left out]")
	f("header=set:x-debug:on", "header=set:x-debug:[left out]")
	f("the header foo: bar baz", "the header foo: [left out] baz")
	same("retry budget: 20 %; max-requests=5; by-host: yes; state: up")
}

func TestScrubJSON(t *testing.T) {
	t.Parallel()
	s := newScrubber(Facts{Secrets: []string{"hunter22"}})
	got, err := s.json([]byte(`{"a<b>":["hunter22",12345678901234567890,1.50,null,true],"192.0.2.7":{"x":"192.0.2.7"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"[an address]":{"x":"[an address]"},"a<b>":["[left out]",12345678901234567890,1.50,null,true]}`; string(got) != want {
		t.Fatalf("unexpected JSON; got %s; want %s", got, want)
	}
}

func TestProposals(t *testing.T) {
	t.Parallel()
	f := func(answer, text string, n, dropped int) {
		t.Helper()
		got, calls, d := proposals(answer, calls())
		if got != text || len(calls) != n || d != dropped {
			t.Errorf("unexpected proposals of %q: %q, %+v, %d dropped", answer, got, calls, d)
		}
	}
	call := `{"method":"PUT","path":"/admin/services/web/backends/a:1/weight?value=5"}`
	f("no calls", "no calls", 0, 0)
	f("x\n```json\n{\"calls\":["+call+"]}\n```\ny", "x\n\ny", 1, 0)
	f("```\n{\"calls\":["+call+"]}```", "", 1, 0)
	f("```json\n{\"other\":1}\n```", "```json\n{\"other\":1}\n```", 0, 0)
	f("```json\n{\"calls\":[\n```", "```json\n{\"calls\":[\n```", 0, 0)
	f("```json\n{\"calls\":[{\"method\":\"GET\",\"path\":\"/admin/config\"},{\"method\":\"PUT\",\"path\":\"https://evil.example/admin/services/a/backends/b/weight\"},"+
		"{\"method\":\"PUT\",\"path\":\"/admin/services/a/backends/../weight\"},{\"method\":\"PUT\",\"path\":\"/admin/services//backends/b/weight\"}]}\n```", "", 0, 4)
	many := call
	for range maxCalls {
		many += "," + call
	}
	f("```json\n{\"calls\":["+many+"]}\n```", "", maxCalls, 1)
	_, calls, _ := proposals("```json\n{\"calls\":["+call+"]}\n```", calls())
	if calls[0].Path != "/admin/services/web/backends/a:1/weight" || calls[0].Params["value"] != "5" {
		t.Errorf("unexpected call: %+v", calls[0])
	}
}
