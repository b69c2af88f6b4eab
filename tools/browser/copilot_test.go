package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// model is a server that speaks OpenAI's API and answers the same each time, and
// what it was sent.
func model(t *testing.T, answer string) (url string, asked chan string) {
	t.Helper()
	asked = make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // as far as it comes
		asked <- string(body)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, piece := range strings.SplitAfter(answer, " ") {
			b, _ := json.Marshal(piece) // it is a string
			fmt.Fprintf(w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}`+"\n\n", b)
		}
		fmt.Fprint(w, `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1", asked
}

// TestCopilot asks a question: what is sent is shown before, the answer is text
// whatever is in it, and what it proposes is a form that nobody has sent.
func TestCopilot(t *testing.T) {
	t.Parallel()
	const secret = "sk-secret-0123456789"
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	_, addrs := echos(t, 2)
	url, asked := model(t, hostile+" Drain it.\n```json\n{\"calls\":[{\"method\":\"PUT\",\"path\":\"/admin/services/web/backends/"+addrs[0]+"/drain\",\"params\":{\"ttl\":\"45m\",\"reason\":\"it is slow\"},\"why\":\"since it is slow\"},{\"method\":\"DELETE\",\"path\":\"/nothing\"}]}\n```")
	s := start(t, "sluice", "--l7=127.0.0.1:0", "--route=/=web", "--admin=127.0.0.1:0", "--backend=web="+addrs[0], "--backend=web="+addrs[1],
		"--copilot=openai", "--copilot-model=test-model", "--copilot-url="+url, "--copilot-key-file="+key)
	b := open(t, dashboard(s)+"#/copilot")
	b.await("whom it asks", `document.querySelector("#main").innerText.includes("test-model") && document.querySelector("#main").innerText.includes("50 of 50")`)
	b.set("#question", "Why is it slow? My key is "+secret)
	b.press("Show what is sent")
	b.await("what would be sent", `document.querySelector("#main details[open]") && document.querySelector("#main details").innerText.includes("would be sent to openai")`)
	if text := eval[string](b, `document.querySelector("#main details").textContent`); strings.Contains(text, secret) || !strings.Contains(text, addrs[0]) || !strings.Contains(text, "Why is it slow?") {
		t.Fatalf("unexpected account of what is sent: %s", text)
	}
	if len(asked) != 0 {
		t.Fatal("it was sent before")
	}
	b.picture("copilot-before")
	b.press("Send")
	b.await("the answer", `document.querySelector("#main .prose") && [...document.querySelectorAll("#main h2")].some((x) => x.textContent === "It proposes")`)
	if sent := <-asked; strings.Contains(sent, secret) || !strings.Contains(sent, "Why is it slow?") {
		t.Fatalf("unexpected question: %s", sent)
	}
	if text := eval[string](b, `document.querySelector("#main .prose").textContent`); !strings.Contains(text, hostile) || strings.Contains(text, "calls") {
		t.Fatalf("unexpected answer: %s", text)
	}
	if n := eval[int](b, `document.querySelectorAll("main img, main script").length`); n != 0 {
		t.Fatalf("the answer has become %d elements", n)
	}
	b.await("what was left out of it", `document.querySelector("#main").innerText.includes("1 of its proposals") && document.querySelector("#main").innerText.includes("49 of 50")`)
	b.picture("copilot")
	if got := s.changes(); got != "" {
		t.Fatalf("something was changed by an answer: %s", got)
	}
	b.press("Do it…")
	b.await("the form", `document.querySelector("dialog[open] #order-reason") && document.querySelector("#order-reason").value === "it is slow" && document.querySelector("#order-ttl").value === "45m"`)
	b.press("Show what it changes")
	b.press("Apply")
	b.await("it is done", `!document.querySelector("dialog[open]")`)
	eventually(t, "it drains", func() bool { return strings.Contains(s.changes(), "drain") })
	b.clean()
}

// TestCopilotOff has none, which is the default, and one that nobody answers.
func TestCopilotOff(t *testing.T) {
	t.Parallel()
	s, _, _ := web(t, 1)
	b := open(t, dashboard(s)+"#/copilot")
	b.await("that it is off", `document.querySelector("#main").innerText.includes("--copilot turns it on") && document.querySelector("#main form").hidden`)
	b.clean()
	s, _, _ = web(t, 1, "--copilot=anthropic", "--copilot-model=m", "--copilot-url=http://127.0.0.1:1")
	b = open(t, dashboard(s)+"#/copilot")
	b.await("the form", `document.querySelector("#question") && !document.querySelector("#main form").hidden`)
	b.set("#question", "Why?")
	b.press("Show what is sent")
	b.press("Send")
	b.await("a clear sentence", `document.querySelector("#main .problem") && document.querySelector("#main").innerText.includes("cannot connect to anthropic at http://127.0.0.1:1")`)
	b.clean()
}
