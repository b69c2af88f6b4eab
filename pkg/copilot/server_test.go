package copilot

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// apiServer speaks both APIs as their documentation has them. What it does is in
// the name of the model.
type apiServer struct {
	*httptest.Server
	t    *testing.T
	gone chan struct{} // closed when the test ends

	mu   sync.Mutex
	seen []request
}

// request is a question as it came.
type request struct {
	path   string
	header http.Header
	body   struct {
		Model     string          `json:"model"`
		Stream    bool            `json:"stream"`
		MaxTokens int             `json:"max_tokens"`
		System    json.RawMessage `json:"system"`
		Messages  []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	raw string
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{t: t, gone: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		close(s.gone)
		s.Close()
	})
	return s
}

// requests returns what has come.
func (s *apiServer) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request{}, s.seen...)
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	q := request{path: r.URL.Path, header: r.Header.Clone(), raw: string(raw)}
	if err := json.Unmarshal(raw, &q.body); err != nil {
		s.t.Errorf("no JSON: %v: %s", err, raw)
	}
	s.mu.Lock()
	s.seen = append(s.seen, q)
	s.mu.Unlock()
	claude := r.URL.Path == "/v1/messages"
	if r.Method != http.MethodPost || !claude && r.URL.Path != "/v1/chat/completions" || !q.body.Stream {
		s.t.Errorf("unexpected request: %s %s, stream %v", r.Method, r.URL.Path, q.body.Stream)
	}
	fail := func(status int, kind, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if claude {
			fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_1"}`, kind, message)
		} else {
			fmt.Fprintf(w, `{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, kind, kind)
		}
	}
	send := func(text string) {
		_, _ = io.WriteString(w, text) // a failure is the client's own
		w.(http.Flusher).Flush()
	}
	stream := func() { w.Header().Set("Content-Type", "text/event-stream; charset=utf-8") }
	begin, piece, end := s.openAIEvents(send)
	if claude {
		begin, piece, end = s.anthropicEvents(send)
	}
	switch q.body.Model {
	case "unauthorized":
		fail(401, "authentication_error", "the key "+r.Header.Get("X-Api-Key")+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+" is not valid")
	case "unknown":
		fail(404, "not_found_error", "model: unknown")
	case "busy":
		w.Header().Set("Retry-After-Ms", "1")
		w.Header().Set("Retry-After", "0")
		fail(429, "rate_limit_error", "slow down")
	case "broken":
		w.Header().Set("X-Should-Retry", "false")
		fail(500, "api_error", "internal")
	case "html":
		w.Header().Set("X-Should-Retry", "false")
		w.WriteHeader(502)
		send("<html>Bad gateway</html>")
	case "page":
		w.Header().Set("Content-Type", "text/html")
		send("<html>Welcome</html>")
	case "elsewhere":
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
	case "silent":
		<-s.gone
	case "cut":
		stream()
		begin()
		piece("half of an ans")
	case "reset":
		stream()
		begin()
		piece("half of an ans")
		panic(http.ErrAbortHandler)
	case "amid":
		stream()
		begin()
		piece("half of an ans")
		if claude {
			send("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n")
		} else {
			send("data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"server_error\"}}\n\n")
		}
	case "empty":
		stream()
		begin()
		end("")
	case "long":
		stream()
		begin()
		piece("as far as it goes")
		end("long")
	case "endless":
		stream()
		begin()
		for text := strings.Repeat("x", 1<<10); r.Context().Err() == nil; {
			piece(text)
		}
	default:
		stream()
		begin()
		for _, p := range []string{"10.0.0.4 is slow.", " Drain it.\n```json\n{\"calls\":[", `{"method":"put","path":"/admin/services/web/backends/10.0.0.4:80/drain","params":{"ttl":"30m","force":false,"reason":"slow"},"why":"it is slow"},`,
			`{"method":"DELETE","path":"/etc/passwd"},{"method":"POST","path":"/admin/services/web/backends/../drain"}]}` + "\n```"} {
			piece(p)
		}
		end("")
	}
}

// openAIEvents returns what writes a Chat Completions stream.
func (s *apiServer) openAIEvents(send func(string)) (begin func(), piece, end func(string)) {
	chunk := func(delta, finish string) {
		send(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + "}]}\n\n")
	}
	return func() {
			send(": a comment\n\n")
			chunk(`{"role":"assistant","content":""}`, "null")
		}, func(text string) {
			b, _ := json.Marshal(text) // it is a string
			chunk(`{"content":`+string(b)+`}`, "null")
		}, func(how string) {
			chunk(`{}`, map[string]string{"": `"stop"`, "long": `"length"`}[how])
			send("data: [DONE]\n\n")
		}
}

// anthropicEvents returns what writes a Messages stream.
func (s *apiServer) anthropicEvents(send func(string)) (begin func(), piece, end func(string)) {
	event := func(kind, data string) {
		send("event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + data + "}\n\n")
	}
	return func() {
			event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"m","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}`)
			event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`)
			event("ping", "")
		}, func(text string) {
			b, _ := json.Marshal(text) // it is a string
			event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":`+string(b)+`}`)
		}, func(how string) {
			event("content_block_stop", `,"index":0`)
			event("message_delta", `,"delta":{"stop_reason":`+map[string]string{"": `"end_turn"`, "long": `"max_tokens"`}[how]+`,"stop_sequence":null},"usage":{"output_tokens":15}`)
			event("message_stop", "")
		}
}
