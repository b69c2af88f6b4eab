package admin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/pkg/copilot"
)

// newCopilot returns one whose model answers "because", or nothing for a while if
// the question says so, and what was asked.
func newCopilot(t *testing.T, timeout time.Duration) (*copilot.Copilot, chan string) {
	t.Helper()
	asked, gone := make(chan string, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // as far as it comes
		asked <- string(body)
		if strings.Contains(string(body), "be silent") {
			<-gone
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, piece := range []string{"bec", "ause"} {
			fmt.Fprintf(w, `data: {"choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`+"\n\n", piece)
		}
		fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(func() { close(gone); server.Close() })
	return copilot.New(copilot.Config{
		Provider: copilot.OpenAI, URL: server.URL, Model: "m", Timeout: timeout, Daily: 100,
		Facts: func() copilot.Facts { return copilot.Facts{Body: map[string]string{"at": time.Now().String()}} },
	}), asked
}

func post(body string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
}

// TestCopilotShown shows what would be sent, and then sends just that.
func TestCopilotShown(t *testing.T) {
	t.Parallel()
	pilot, asked := newCopilot(t, time.Minute)
	s, _, _ := plant(t, Config{Copilot: pilot})
	shown := do(t, s, "POST", "/admin/copilot", post(`{"question":"why?","dry_run":true}`))
	var p copilot.Prompt
	if err := json.Unmarshal([]byte(shown.body), &p); err != nil || shown.code != 200 {
		t.Fatalf("unexpected answer: %d %s", shown.code, shown.body)
	}
	if len(asked) != 0 {
		t.Fatal("a dry run has sent something")
	}
	if !strings.Contains(p.System, "PUT /admin/services/{service}/backends/{backend}/{what}") || !strings.Contains(p.System, "/admin/changes") {
		t.Fatalf("the calls are not told: %s", p.System)
	}
	got := do(t, s, "POST", "/admin/copilot", post(`{"id":"`+p.ID+`"}`))
	var a copilot.Answer
	if err := json.Unmarshal([]byte(got.body), &a); err != nil || got.code != 200 || a.Answer != "because" || a.Sent.ID != p.ID {
		t.Fatalf("unexpected answer: %d %s", got.code, got.body)
	}
	var facts map[string]string
	if err := json.Unmarshal(p.Facts, &facts); err != nil {
		t.Fatal(err)
	}
	if sent := <-asked; !strings.Contains(sent, facts["at"]) || !strings.Contains(sent, "why?") {
		t.Fatalf("something else was sent than shown: %s; want %s", sent, p.Facts)
	}
}

// TestCopilotStream reads an answer as it comes, and one that does not come.
func TestCopilotStream(t *testing.T) {
	t.Parallel()
	f := func(question string, timeout time.Duration, want string) {
		t.Helper()
		pilot, _ := newCopilot(t, timeout)
		s, _, _ := plant(t, Config{Copilot: pilot})
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.Addr().String()+"/admin/copilot", strings.NewReader(`{"question":"`+question+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "text/event-stream")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var events []string
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if e, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				events = append(events, e)
			}
		}
		if got := strings.Join(events, " "); got != want {
			t.Fatalf("unexpected events; got %s; want %s", got, want)
		}
	}
	f("why?", time.Minute, "sent piece piece answer")
	f("be silent", 200*time.Millisecond, "sent problem")
}

// TestCopilotTrouble has one that is off, and who only looks.
func TestCopilotTrouble(t *testing.T) {
	t.Parallel()
	s, _, _ := plant(t, Config{Token: "all-of-it", ReadToken: "looks-only"})
	as := func(token string, and func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			and(r)
		}
	}
	if got := do(t, s, "GET", "/admin/copilot", as("looks-only", func(*http.Request) {})); got.code != 200 || !strings.Contains(got.body, `"provider": "off"`) {
		t.Fatalf("unexpected answer: %d %s", got.code, got.body)
	}
	if got := do(t, s, "POST", "/admin/copilot", as("all-of-it", post(`{"question":"why?"}`))); got.code != 503 || !strings.Contains(got.body, "--copilot turns it on") {
		t.Fatalf("unexpected answer: %d %s", got.code, got.body)
	}
	if got := do(t, s, "POST", "/admin/copilot", as("looks-only", post(`{"question":"why?"}`))); got.code != 403 {
		t.Fatalf("who only looks may ask: %d %s", got.code, got.body)
	}
	pilot, _ := newCopilot(t, 200*time.Millisecond)
	s, _, _ = plant(t, Config{Copilot: pilot})
	if got := do(t, s, "POST", "/admin/copilot", post(`{"question":"be silent"}`)); got.code != 504 || !strings.Contains(got.body, "--copilot-timeout") {
		t.Fatalf("unexpected answer: %d %s", got.code, got.body)
	}
}
