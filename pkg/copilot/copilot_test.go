package copilot

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const testKey = "sk-test-0123456789"

// calls are those that may be proposed in tests.
func calls() []Call {
	return []Call{
		{Method: "PUT", Path: "/admin/services/{service}/backends/{backend}/{what}", Why: "change a backend"},
		{Method: "POST", Path: "/admin/services/{service}/backends/{backend}/drain"},
	}
}

// config returns what asks a model at a server.
func config(t *testing.T, provider, url, model string) Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if provider == OpenAI {
		url += "/v1"
	}
	return Config{
		Provider: provider, URL: url, Model: model, KeyFile: file, Timeout: time.Minute, Daily: 10,
		Facts: func() Facts {
			return Facts{
				Body:  map[string]any{"advice": []string{"10.0.0.4:80 is slow"}, "events": []string{"a client at 192.0.2.7 was refused; cookie: a=b", "the key is " + testKey}},
				Known: []string{"10.0.0.4:80"}, Secrets: []string{"hunter22"},
			}
		},
	}
}

func ask(t *testing.T, c *Copilot, question string) (Answer, []string, error) {
	t.Helper()
	p, err := c.Prepare(question, calls())
	if err != nil {
		t.Fatal(err)
	}
	var pieces []string
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, err := c.Ask(ctx, p, func(s string) { pieces = append(pieces, s) })
	return a, pieces, err
}

// TestAnswer asks by both APIs, and looks at what was sent and what came back.
func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, provider := range Providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			c := New(config(t, provider, s.URL, "good"))
			a, pieces, err := ask(t, c, "why is it slow? my password is hunter22")
			if err != nil {
				t.Fatal(err)
			}
			if a.Answer != "10.0.0.4 is slow. Drain it." || a.Cut != "" || a.Provider != provider || a.Model != "good" || a.Left != 9 {
				t.Fatalf("unexpected answer: %+v", a)
			}
			if len(pieces) != 4 || pieces[0] != "10.0.0.4 is slow." {
				t.Fatalf("it does not come in pieces: %q", pieces)
			}
			if len(a.Calls) != 1 || a.Dropped != 2 || a.Calls[0].Method != "PUT" || a.Calls[0].Params["ttl"] != "30m" || a.Calls[0].Params["force"] != "false" {
				t.Fatalf("unexpected calls: %+v, %d dropped", a.Calls, a.Dropped)
			}
			all := s.requests()
			if len(all) != 1 {
				t.Fatalf("unexpected number of requests: %d", len(all))
			}
			q := all[0]
			for _, secret := range []string{"hunter22", "192.0.2.7", "a=b", testKey} {
				if strings.Contains(q.raw, secret) {
					t.Fatalf("%q was sent: %s", secret, q.raw)
				}
			}
			for _, part := range []string{"10.0.0.4:80 is slow", "why is it slow?", "/admin/services/{service}/backends/{backend}/{what}", leftOut, someone} {
				if !strings.Contains(q.raw, part) {
					t.Fatalf("%q was not sent: %s", part, q.raw)
				}
			}
			if a.Sent.LeftOut != 4 || !strings.Contains(string(a.Sent.Facts), "is slow") || !strings.Contains(a.Sent.Question, leftOut) {
				t.Fatalf("unexpected account of what was sent: %+v", a.Sent)
			}
			switch provider {
			case OpenAI:
				if q.header.Get("Authorization") != "Bearer "+testKey || len(q.body.Messages) != 2 || q.body.Messages[0].Role != "system" {
					t.Fatalf("unexpected request: %v, %s", q.header, q.raw)
				}
			case Anthropic:
				if q.header.Get("X-Api-Key") != testKey || q.header.Get("Anthropic-Version") == "" || len(q.body.Messages) != 1 || q.body.MaxTokens == 0 || len(q.body.System) == 0 {
					t.Fatalf("unexpected request: %v, %s", q.header, q.raw)
				}
			}
		})
	}
}

// TestTrouble has every way in which there is no answer, as a sentence that says
// what to do, without the key.
func TestTrouble(t *testing.T) {
	t.Parallel()
	cases := []struct {
		model  string
		status int
		want   string
	}{
		{"unauthorized", 502, "does not accept the key (--copilot-key-file): the key [left out] is not valid"},
		{"unknown", 502, "knows no such model or path (--copilot-model, --copilot-url): model: unknown"},
		{"busy", 503, "has had too many questions, or the account has no credit: slow down"},
		{"broken", 502, "refused with status 500: internal"},
		{"html", 502, "refused with status 502: <html>Bad gateway</html>"},
		{"page", 502, "answered nothing; does it speak the API of"},
		{"elsewhere", 502, "leads elsewhere (status 307), which is not followed; see --copilot-url"},
		{"silent", 504, "did not answer within 200ms (--copilot-timeout)"},
		{"cut", 502, "broke off amid its answer"},
		{"reset", 502, "broke off amid its answer"},
		{"amid", 502, "failed amid its answer: Overloaded"},
		{"empty", 502, "answered nothing"},
		{"endless", 502, "answered more than 1048576 bytes"},
	}
	for _, provider := range Providers() {
		for _, x := range cases {
			t.Run(provider+"/"+x.model, func(t *testing.T) {
				t.Parallel()
				cfg := config(t, provider, newAPIServer(t).URL, x.model)
				if x.model == "silent" {
					cfg.Timeout = 200 * time.Millisecond
				}
				_, _, err := ask(t, New(cfg), "why?")
				var trouble Trouble
				if !errors.As(err, &trouble) || trouble.Status != x.status || !strings.Contains(trouble.Reason, x.want) || !strings.Contains(trouble.Reason, provider) {
					t.Fatalf("unexpected trouble; got %d %v; want %d %q", trouble.Status, err, x.status, x.want)
				}
				if strings.Contains(trouble.Reason, testKey) {
					t.Fatalf("it tells the key: %v", err)
				}
			})
		}
	}
}

// TestCutAnswer has an answer that ended at its bound.
func TestCutAnswer(t *testing.T) {
	t.Parallel()
	for _, provider := range Providers() {
		a, _, err := ask(t, New(config(t, provider, newAPIServer(t).URL, "long")), "why?")
		if err != nil || a.Cut == "" || a.Answer != "as far as it goes" {
			t.Fatalf("unexpected answer of %s: %+v, %v", provider, a, err)
		}
	}
}

// TestNoConnection has nobody listen, and a name that nobody has.
func TestNoConnection(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for _, provider := range Providers() {
		for url, want := range map[string]string{"http://" + addr: "connection refused", "http://nobody.invalid": "its name cannot be looked up"} {
			_, _, err := ask(t, New(config(t, provider, url, "good")), "why?")
			if err == nil || !strings.Contains(err.Error(), "cannot connect to "+provider) || !strings.Contains(err.Error(), want) {
				t.Fatalf("unexpected trouble of %s at %s: %v", provider, url, err)
			}
		}
	}
}

// TestKey has keys that are none, and a server that needs none.
func TestKey(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	f := func(want string, change func(*Config)) {
		t.Helper()
		cfg := config(t, OpenAI, s.URL, "good")
		change(&cfg)
		c := New(cfg)
		a := c.About()
		_, _, err := ask(t, c, "why?")
		if want == "" {
			if err != nil || !a.Ready {
				t.Fatalf("unexpected trouble: %v, %+v", err, a)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) || a.Ready || a.Trouble != err.Error() || a.Left != 10 {
			t.Fatalf("unexpected trouble; got %v, %+v; want %q", err, a, want)
		}
	}
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	f("", func(c *Config) { c.KeyFile = "" })
	if got := s.requests()[0].header.Get("Authorization"); got != "" {
		t.Fatalf("a key was sent where there is none: %q", got)
	}
	f("there is no key for https://api.openai.com/v1: --copilot-key-file", func(c *Config) { c.KeyFile, c.URL = "", "" })
	f("there is no key for https://api.anthropic.com: --copilot-key-file", func(c *Config) { c.KeyFile, c.URL, c.Provider = "", "", Anthropic })
	f("cannot be read", func(c *Config) { c.KeyFile = write("x") + ".none" })
	f("the first line", func(c *Config) { c.KeyFile = write("\nkey") })
	f("the first line", func(c *Config) { c.KeyFile = write("two words") })
}

// TestDailyCap asks until no question is left, and the next day.
func TestDailyCap(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(time.Date(2030, 1, 2, 23, 30, 0, 0, time.UTC).Unix())
	cfg := config(t, OpenAI, newAPIServer(t).URL, "good")
	cfg.Daily, cfg.Now = 2, func() time.Time { return time.Unix(now.Load(), 0) }
	c := New(cfg)
	for range 2 {
		if _, _, err := ask(t, c, "why?"); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := ask(t, c, "why?")
	var trouble Trouble
	if !errors.As(err, &trouble) || trouble.Status != http.StatusTooManyRequests || !strings.Contains(trouble.Reason, "in 30m0s, at midnight UTC") {
		t.Fatalf("unexpected trouble: %v", err)
	}
	if a := c.About(); a.Left != 0 || a.Ready {
		t.Fatalf("unexpected account: %+v", a)
	}
	now.Add(1800)
	if _, _, err := ask(t, c, "why?"); err != nil {
		t.Fatal(err)
	}
}

// TestKept sends what was shown, although the facts have changed, and not for ever.
func TestKept(t *testing.T) {
	t.Parallel()
	var now, reading atomic.Int64
	cfg := config(t, OpenAI, "http://127.0.0.1:1", "good")
	cfg.Now = func() time.Time { return time.Unix(now.Load(), 0) }
	cfg.Facts = func() Facts { return Facts{Body: map[string]any{"reading": reading.Add(1)}} }
	c := New(cfg)
	p, err := c.Prepare("one", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range maxKept - 1 {
		if _, err := c.Prepare("two", nil); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := c.Kept(p.ID); !ok || string(got.Facts) != `{"reading":1}` {
		t.Fatalf("unexpected prompt: %v, %s", ok, got.Facts)
	}
	now.Store(int64(keptFor/time.Second) + 1)
	if _, ok := c.Kept(p.ID); ok {
		t.Fatal("it is kept for ever")
	}
	now.Store(0)
	if _, err := c.Prepare("three", nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Kept(p.ID); ok || len(c.kept) != maxKept {
		t.Fatalf("%d are kept", len(c.kept))
	}
}

// TestMany asks more at a time than may be.
func TestMany(t *testing.T) {
	t.Parallel()
	c := New(config(t, OpenAI, newAPIServer(t).URL, "good"))
	for range maxAsking {
		c.asking <- struct{}{}
	}
	if _, _, err := ask(t, c, "why?"); err == nil || !strings.Contains(err.Error(), "under way") || c.About().Left != 10 {
		t.Fatalf("unexpected trouble: %v", err)
	}
}

// TestOff is what is shown of none.
func TestOff(t *testing.T) {
	t.Parallel()
	if a := (*Copilot)(nil).About(); a.Enabled || a.Provider != "off" || !strings.Contains(a.Trouble, "--copilot") {
		t.Fatalf("unexpected account: %+v", a)
	}
}
