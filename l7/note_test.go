package l7

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/accesslog"
)

// TestLogFields has lines that hold what clients and backends say, whatever
// that is.
func TestLogFields(t *testing.T) { eachDriver(t, testLogFields) }

func testLogFields(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Cache", "hit "+r.URL.RawQuery)
		w.Header().Set("X-Other", "no")
	})
	out := &syncBuffer{}
	log := accesslog.New(accesslog.Config{Sinks: []accesslog.Sink{{Out: out}}, Metrics: metrics.NewSet()})
	f := newFront(t, func(c *Config) {
		c.AccessLog = log
		c.LogFields = []LogField{
			{Key: "query", Of: LogQuery, Name: ""}, {Key: "response.x-cache", Of: LogResponse, Name: "x-cache"}, {Key: "user_agent", Of: LogRequest, Name: "user-agent"},
			{Key: "response.x-none", Of: LogResponse, Name: "x-none"}, {Key: "response.server", Of: LogResponse, Name: "content-length"},
		}
	}, b)
	c := f.raw()
	evil := "a\" \\ \t<\xff> {\"level\":\"FAKE\"}"
	c.do("GET /x?a=b?c HTTP/1.1\r\nHost: a\r\nUser-Agent: " + evil + "\r\nuser-agent: second\r\n\r\n")
	c.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.do("GET /?refused HTTP/1.1\r\nUser-Agent: x\r\n\r\n") // no Host
	f.wantMetric("sluice_l7_rejected_total", 1)
	c.Close()
	f.shutdown(patience)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("unexpected line %q: %v", line, err)
		}
		got = append(got, fmt.Sprint(m["query"], "|", m["user_agent"], "|", m["response.x-cache"], "|", m["response.server"], "|", m["response.x-none"]))
	}
	want := []string{
		"a=b?c|" + strings.ToValidUTF8(evil, "\ufffd") + "|hit a=b?c|0|<nil>",
		"<nil>|<nil>|hit|0|<nil>",
		"<nil>|x|<nil>|<nil>|<nil>",
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("unexpected line %d; got %q; want %q", i, got, want[i])
		}
	}
}
